"""Explanations of models behind other people's servers, against those of the same graphs run here."""

from __future__ import annotations

import numpy as np
import pytest
from tests.peers.models import CLASSES, MODELS
from tests.peers.process import Peer

import whybox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # an environment may have to be made first

ASKED = {"space": "probability", "seed": 7, "target": 1}
SPEC = {"output": "scores", "score": "probability"}


@pytest.fixture(scope="module")
def client():
    with whybox.local(allow_egress=["127.0.0.0/8"], trust_uploads=True) as client:
        yield client


@pytest.mark.parametrize("method", ["lime", "kernel_shap", "occlusion", "shapley_sampling"])
@pytest.mark.parametrize("protocol", ["oip-grpc", "oip-rest", "auto"])
def test_an_endpoint_is_explained_as_its_graph_is(
    mlserver: Peer, client: whybox.Client, protocol: str, method: str
) -> None:
    """The same rows have the same scores, and so the same seed gives the same numbers, to the last bits of a batch."""
    served = MODELS["net"]
    x = served.rows["x"][0]
    url = mlserver.grpc if protocol == "oip-grpc" else mlserver.http
    endpoint = whybox.Endpoint(url, protocol=protocol, model="net", spec=whybox.ModelSpec.tabular())
    there = client.explain(endpoint, x, method, **ASKED)
    here = client.explain(served.graph, x, method, spec=whybox.ModelSpec.tabular(**SPEC), **ASKED)
    assert np.abs(here.values).max() > 0.01
    np.testing.assert_allclose(there.values, here.values, atol=1e-5)


def test_kserve_is_explained_over_v1_with_declared_inputs(kserve: Peer, client: whybox.Client) -> None:
    """V1 says nothing of inputs and class names: both are declared. The oracle is the graph run here."""
    served = MODELS["net"]
    spec = whybox.ModelSpec.tabular(labels=list(CLASSES))
    endpoint = whybox.Endpoint(kserve.http, protocol="kserve-v1", model="net", inputs={"x": (5,)}, spec=spec)
    there = client.explain(endpoint, served.rows["x"][0], "lime", **ASKED)
    here = client.explain(
        served.graph, served.rows["x"][0], "lime", spec=whybox.ModelSpec.tabular(**SPEC), **ASKED
    )
    np.testing.assert_allclose(there.values, here.values, atol=1e-5)


def test_class_names_of_the_server_name_the_target(mlserver: Peer, client: whybox.Client) -> None:
    """They come from its metadata; nobody declared them here."""
    endpoint = whybox.Endpoint(mlserver.grpc, protocol="oip-grpc", model="net")
    e = client.explain(endpoint, MODELS["net"].rows["x"][0], "lime", target=CLASSES[2], seed=1)
    assert e.values.shape == (5,)
