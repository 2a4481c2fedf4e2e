"""Packaging, read from `settings.ini` so that there is one place for names, versions and dependencies."""
import os
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

if os.name == "nt": raise SystemExit("This project runs on Linux, macOS, and in WSL on Windows: it locks files with fcntl, which Windows itself lacks.")

parser = ConfigParser(delimiters=["="])
parser.read("settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
extras = {name: cfg[f"{name}_requirements"].split() for name in ("serve", "research", "lab", "load", "dashboard", "dev")}

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], license="MIT", license_files=["LICENSE"],
    author=cfg["author"], keywords=cfg["keywords"], url=cfg["git_url"], python_requires=f">={cfg['min_python']},<3.14",
    classifiers=["Operating System :: POSIX", "Operating System :: MacOS"],
    packages=find_packages(include=[cfg["lib_name"], f"{cfg['lib_name']}.*"]), install_requires=cfg["requirements"].split(), extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").is_file() else "", long_description_content_type="text/markdown",
)
