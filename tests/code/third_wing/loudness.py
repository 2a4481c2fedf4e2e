"""How loud a sound is at each pitch."""
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

class Loudness(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None): return self
    def __sklearn_is_fitted__(self): return True
    def transform(self, X): return np.log1p(np.abs(np.fft.rfft(np.asarray(X), axis=1))[:, 1:17])
    def get_feature_names_out(self, input_features=None): return np.array([f"pitch_{number}" for number in range(1, 17)], object)
