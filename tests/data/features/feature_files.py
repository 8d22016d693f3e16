"""The same array in a file of every format that features may come in."""

from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.data.manifest.feature_reference import FeaturePlace


def npy(path, array):
    np.save(path, array)


def npz(path, array):
    np.savez(path, other=np.zeros(2), k=array)


def npz_packed(path, array):
    np.savez_compressed(path, k=array)


def pt(path, array):
    import torch

    torch.save(torch.from_numpy(array.copy()), path)


def pt_dict(path, array):
    import torch

    torch.save({"k": torch.from_numpy(array.copy()).requires_grad_()}, path)


def pt_old(path, array):
    import torch

    content = {"k": torch.from_numpy(array.copy())}
    torch.save(content, path, _use_new_zipfile_serialization=False)


def safetensors(path, array):
    from safetensors.numpy import save_file

    save_file({"k": np.ascontiguousarray(array), "other": np.zeros(2)}, path)


def hdf5(path, array):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["group/k"] = array


FORMATS = {
    "npy": (".npy", None, npy),
    "npz": (".npz", "k", npz),
    "packed npz": (".npz", "k", npz_packed),
    "pt": (".pt", None, pt),
    "pt of several": (".pt", "k", pt_dict),
    "pt of old": (".pt", "k", pt_old),
    "safetensors": (".safetensors", "k", safetensors),
    "hdf5": (".hdf5", "group/k", hdf5),
}
"""Suffix, key and writer by name."""


def written(folder: Path, name: str, array: np.ndarray, row: int | None = None) -> FeaturePlace:
    """Write the array, and say where it is."""
    suffix, key, write = FORMATS[name]
    path = folder / f"array{len(list(folder.iterdir()))}{suffix}"
    write(path, array)
    return FeaturePlace(str(path), key, row)
