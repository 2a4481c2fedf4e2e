"""Parameters and code of the two toy stages that a small project begins with: one draws numbers, the other adds them."""
PARAMETERS = 'dataset: str = "toy"  # dataset name\nseed: int = 1  # seed\nn: "int[1, 100]" = 3  # how many'
DRAW = ["from fashion_mlops.core import write_json", "stage.facts = {'dataset_digest': 'abc', 'synthetic': True}",
        "write_json(stage.write('numbers.json'), list(range(n)))", "stage.log({'valid_accuracy': n / 100}, {'valid_accuracy': (0, 1)})"]
ADD = ["from fashion_mlops.core import read_json, write_json", "write_json(stage.write('sum.json'), sum(read_json(stage.read('numbers.json'))))"]
