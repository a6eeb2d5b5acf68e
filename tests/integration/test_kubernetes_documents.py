"""deploy/: what a cluster takes and what it would refuse, and that one number fits the other."""

import json
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions
from support.gunicorn_server import ROOT
from support.kubernetes_documents import (
    DEPLOY,
    ISVC,
    Document,
    Pod,
    build_installation,
    build_kustomization,
    deployment_pod,
    kserve_pod,
    only_document,
)

from benchmarks.environments import Environment, InstallError
from service.settings import PREFIX, Settings

OLDEST, NEWEST = "1.35", "1.37"  # the minors that Kubernetes supports
KSERVE_CLIENTS = ROOT / "tests" / "clients" / "kserve"

# What Checkov calls that which the restricted profile asks for, as far as it knows it.
RESTRICTED = {f"CKV_K8S_{number}" for number in (16, 17, 18, 19, 20, 23, 26, 28, 30, 31, 37)}
# And what the profile speaks of beside that: nothing here sets any of it.
UNSET = {"add", "appArmorProfile", "host", "hostPath", "hostProcess", "procMount", "seLinuxOptions", "sysctls"}
VOLUMES = {"emptyDir", "image", "persistentVolumeClaim"}  # of the profile's list, those that are used here
EXCUSED = {
    "CKV_K8S_15": "a tag is a version here, and does not move: whoever has it need not ask again",
    "CKV_K8S_43": "whoever builds the image knows its digest, and sets it where the tag stands",
}


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    parts = (["small"], ["large"], ["small", "model-from-claim"], ["large", "model-from-image"], ["small", "traces"])
    return {" ".join(each): build_installation(tmp_path_factory.mktemp("installation"), *each) for each in parts}


@pytest.fixture(scope="module")
def kserve() -> list[Document]:
    return build_kustomization(DEPLOY / "kserve")


@pytest.fixture(scope="module")
def pods(installations: dict[str, list[Document]], kserve: list[Document]) -> dict[str, Pod]:
    found = {name: deployment_pod(documents) for name, documents in installations.items()}
    return found | {"kserve": kserve_pod(kserve)}


def bare(pod: Pod, name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "menagerie"}, "spec": pod.spec}


def fault(document: Document, version: str) -> str:
    """What that minor's schema refuses in a document, unknown fields included."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{document['kind']}: {error.message}"
    return ""


def python(home: str, folder: Path) -> str:
    """The Python of the environment that a folder's requirements make."""
    try:
        return str(Environment(ROOT / home, folder / "requirements.txt", complete=True).install(600))
    except InstallError as error:
        pytest.skip(f"what {folder.name} needs {error}")


def keys(part: Any) -> Iterator[str]:
    """Every name in a document, however deep."""
    if isinstance(part, dict):
        yield from part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from keys(inner)


def test_the_newest_kubernetes_is_meant() -> None:
    """Three minors are supported at a time; once the schemas of another are here, it is the one to check against."""
    minors = dict.fromkeys(version.rsplit(".", 1)[0] for version in all_versions())
    assert list(minors)[-3::2] == [OLDEST, NEWEST]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_cluster_takes_every_document(
    installations: dict[str, list[Document]], kserve: list[Document], pods: dict[str, Pod], version: str
) -> None:
    """Each fits its schema and has no field beyond it; so does the pod that KServe makes. A misspelt field is found."""
    whole = [document for documents in installations.values() for document in documents]
    whole += [only_document(kserve, "PodDisruptionBudget"), bare(pods["kserve"], "kserve")]
    assert [told for document in whole if (told := fault(document, version))] == []
    misspelt = deepcopy(whole[-1])
    misspelt["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["second"] = 5
    assert "second" in fault(misspelt, version)


@pytest.mark.parametrize("sdk", ["oldest", "newest"])
def test_kserve_takes_its_documents(kserve: list[Document], tmp_path: Path, sdk: str) -> None:
    """They fit the types of KServe's own SDK, field by field; a misspelt field and a wrong type are found."""
    command = [python(".clients/kserve", KSERVE_CLIENTS), "-I", str(KSERVE_CLIENTS / "fits.py")]
    if sdk == "oldest":
        home = Path(python(".clients/kserve-oldest", KSERVE_CLIENTS / "oldest")).parent.parent
        (packages,) = home.glob("lib/python*/site-packages")
    theirs = [document for document in kserve if document["apiVersion"].startswith("serving.kserve.io/")]
    misspelt, mistaken = deepcopy(theirs), deepcopy(theirs)
    only_document(misspelt, "InferenceService")["spec"]["predictor"]["model"]["storageURI"] = "s3://models"
    only_document(mistaken, "ServingRuntime")["spec"]["containers"][0]["startupProbe"]["periodSeconds"] = "1"
    for documents, told in (
        (theirs, ""),
        (misspelt, "has no field storageURI"),
        (mistaken, "startupProbe.periodSeconds is no int"),
    ):
        (tmp_path / "documents.json").write_text(json.dumps(documents))
        arguments = [str(tmp_path / "documents.json"), *([str(packages)] if sdk == "oldest" else [])]
        said = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert (said.returncode == 0, told in said.stderr) == (not told, True), said.stderr


def test_pods_keep_to_the_restricted_profile(
    installations: dict[str, list[Document]], pods: dict[str, Pod], tmp_path: Path
) -> None:
    """Checkov finds nothing but what is excused above, though it knows each point of the profile where it lacks."""
    loose = deepcopy(pods["small"])
    loose.spec.update(hostPID=True, hostIPC=True, hostNetwork=True, securityContext={})
    loose.container.update(securityContext={"privileged": True})
    loose.container["ports"][0]["hostPort"] = 80
    careless = deepcopy(loose)
    careless.container.pop("securityContext")
    whole = [document for documents in installations.values() for document in documents]
    whole += [bare(pods["kserve"], "kserve"), bare(loose, "loose"), bare(careless, "careless")]
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump_all(whole))
    folder = ROOT / "tests" / "policy"
    command = [python(".policy/checkov", folder), "-I", str(folder / "audit.py"), str(tmp_path / "whole.yaml")]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
    wild = {"Pod.menagerie.loose", "Pod.menagerie.careless"}
    assert {check for check, resource, _ in told["failed"] if resource in wild} >= RESTRICTED
    assert [one for one in told["failed"] if one[1] not in wild and one[0] not in EXCUSED] == []
    assert told["unread"] == []


def test_pods_set_nothing_else_that_the_profile_speaks_of(pods: dict[str, Pod]) -> None:
    """What Checkov has no check for: kinds of volumes, and fields that are best left alone."""
    for pod in pods.values():
        assert UNSET.isdisjoint(keys(pod.spec))
        assert {kind for volume in pod.spec["volumes"] for kind in volume if kind != "name"} <= VOLUMES
    assert only_document(build_kustomization(DEPLOY / "kubernetes" / "base"), "Namespace")["metadata"][
        "labels"
    ].items() >= {("pod-security.kubernetes.io/enforce", "restricted")}


def test_a_pod_has_the_time_that_its_settings_take(pods: dict[str, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are ones; it is killed no sooner than they say; probes ask the port that it listens on."""
    for pod in pods.values():
        with monkeypatch.context() as context:
            for name, value in pod.environment.items():
                context.setenv(name, value)
            settings = Settings.load()
        waited = pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod.spec["terminationGracePeriodSeconds"] == waited + settings.grace_seconds
        (port,) = pod.container["ports"]
        assert str(port["containerPort"]) == pod.environment["PORT"]
        probes = [pod.container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
        assert {probe["port"] for probe in probes} <= {port["containerPort"], port.get("name")}
        assert probes[0] == probes[1] != probes[2]


def test_no_pod_gets_names_that_the_service_refuses(pods: dict[str, Pod]) -> None:
    """For a Service named menagerie Kubernetes sets MENAGERIE_PORT and more in every pod, unless told not to."""
    assert all(pod.spec["enableServiceLinks"] is False for pod in pods.values())


def test_what_belongs_together_finds_each_other(installations: dict[str, list[Document]]) -> None:
    """Service, autoscaler, budget and policy mean the pods of the Deployment, by labels, by name, by port."""
    for documents in installations.values():
        deployment, policy = only_document(documents, "Deployment"), only_document(documents, "NetworkPolicy")["spec"]
        template = deployment["spec"]["template"]
        (port,) = template["spec"]["containers"][0]["ports"]
        selectors = [
            only_document(documents, "Service")["spec"]["selector"],
            only_document(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            policy["podSelector"]["matchLabels"],
            deployment["spec"]["selector"]["matchLabels"],
            *(spread["labelSelector"]["matchLabels"] for spread in template["spec"]["topologySpreadConstraints"]),
        ]
        assert all(selector.items() <= template["metadata"]["labels"].items() for selector in selectors)
        assert only_document(documents, "Service")["spec"]["ports"][0]["targetPort"] == port["name"]
        assert policy["ingress"] == [{"ports": [{"port": port["name"]}]}], "callers and Prometheus alike"
        target = only_document(documents, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
        assert only_document(documents, "ServiceAccount")["metadata"]["name"] == template["spec"]["serviceAccountName"]


def test_nothing_goes_out_but_traces(installations: dict[str, list[Document]]) -> None:
    """Without the component nothing; with it what is for the settings' collector, and the question for its name."""
    for name, documents in installations.items():
        policy, settings = (
            only_document(documents, "NetworkPolicy")["spec"],
            only_document(documents, "ConfigMap")["data"],
        )
        assert "Egress" in policy["policyTypes"], "a policy that does not speak of it lets everything out"
        if "traces" not in name:
            assert "egress" not in policy
            continue
        collector, names = policy["egress"]
        endpoint = urlsplit(settings["OTEL_EXPORTER_OTLP_ENDPOINT"])
        (to,) = collector["to"]
        namespace = to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        assert str(endpoint.hostname).split(".")[1] == namespace
        assert collector["ports"] == [{"port": endpoint.port}]
        assert names == {"ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}


def test_prometheus_finds_the_pods(pods: dict[str, Pod], tmp_path: Path) -> None:
    """By annotations or by the PodMonitor, at the port that they listen on; KServe's own names say the same."""
    for pod in pods.values():
        told = {key: value for key, value in pod.annotations.items() if key.startswith("prometheus.io/")}
        (port,) = pod.container["ports"]
        where = {"port": str(port["containerPort"]), "path": "/metrics"}
        assert told == {f"prometheus.io/{key}": value for key, value in (where | {"scrape": "true"}).items()}
    assert {f"prometheus.kserve.io/{key}": value for key, value in where.items()}.items() <= pod.annotations.items()
    documents = build_installation(tmp_path, "small", "pod-monitor")
    monitor, deployment = only_document(documents, "PodMonitor"), only_document(documents, "Deployment")
    template = deployment["spec"]["template"]
    assert monitor["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": template["spec"]["containers"][0]["ports"][0]["name"], "path": "/metrics"}


def test_a_rollout_takes_no_pod_away(installations: dict[str, list[Document]], kserve: list[Document]) -> None:
    """A new one is ready before an old one leaves; and maintenance leaves most of them."""
    predictor = only_document(kserve, "InferenceService")["spec"]["predictor"]
    assert predictor["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0
    budget = only_document(kserve, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == {"serving.kserve.io/inferenceservice": ISVC}
    assert budget["maxUnavailable"] < predictor["minReplicas"]
    for documents in installations.values():
        deployment = only_document(documents, "Deployment")["spec"]
        assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert "replicas" not in deployment, "each apply would undo what the autoscaler decided"
        assert only_document(documents, "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


def test_another_setting_is_another_rollout(tmp_path: Path, installations: dict[str, list[Document]]) -> None:
    """A ConfigMap's name holds a hash of it and the pods name it, so that a change rolls out, and back."""
    changed = build_installation(tmp_path, "small", MENAGERIE_LOG_RATE="1000")
    assert deployment_pod(changed).environment["MENAGERIE_LOG_RATE"] == "1000"
    before, after = (
        only_document(documents, "ConfigMap")["metadata"]["name"] for documents in (installations["small"], changed)
    )
    assert before != after


def test_swarm_takes_the_stack() -> None:
    """`docker stack config` has nothing to refuse; its settings are ones, and it is given the time that they take."""
    command = ["docker", "stack", "config", "--compose-file", str(DEPLOY / "swarm" / "stack.yml")]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        pytest.skip("no docker command here")
    assert said.returncode == 0, said.stderr
    service = yaml.safe_load(said.stdout)["services"]["serve"]
    assert "tmpfs" not in service, "Swarm takes that key and does nothing about it"
    assert [(each["type"], each["target"]) for each in service["volumes"]] == [("tmpfs", "/tmp")]  # noqa: S108 (it is it)
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {"WEB_CONCURRENCY"}
    assert service["environment"].keys() <= known
    assert service["stop_grace_period"] == f"{Settings().grace_seconds:g}s"
    assert service["deploy"]["update_config"]["order"] == "start-first"
