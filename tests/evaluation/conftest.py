"""A tiny model and tiny sets, made once."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library of models is imported: these tests need no network

import pytest
from tiny_sets import write_classification, write_model, write_retrieval


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def model(model_folder):
    from helip.evaluation.model import load

    return load(str(model_folder), "cpu")


@pytest.fixture(scope="session")
def classification(tmp_path_factory):
    return write_classification(tmp_path_factory.mktemp("sets") / "colours", test=60, train=90)


@pytest.fixture(scope="session")
def retrieval(tmp_path_factory):
    return write_retrieval(tmp_path_factory.mktemp("sets") / "squares")
