"""deploy/: documents that a cluster accepts, and values that agree with each other and with the settings."""

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

# Checkov's checks for the rules of the restricted profile.
RESTRICTED = {f"CKV_K8S_{number}" for number in (16, 17, 18, 19, 20, 23, 26, 28, 30, 31, 37)}
# Fields that the profile restricts and Checkov does not check; none is set here.
UNSET = {"add", "appArmorProfile", "host", "hostPath", "hostProcess", "procMount", "seLinuxOptions", "sysctls"}
VOLUMES = {"emptyDir", "image", "persistentVolumeClaim"}  # those of the profile's list that are used here
EXCUSED = {
    "CKV_K8S_15": "a tag is a version and does not move, so it need not be pulled again",
    "CKV_K8S_43": "whoever builds the image knows its digest and sets it in place of the tag",
}


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    combinations = (
        ["small"],
        ["large"],
        ["small", "model-from-claim"],
        ["large", "model-from-image"],
        ["small", "traces"],
    )
    return {" ".join(each): build_installation(tmp_path_factory.mktemp("installation"), *each) for each in combinations}


@pytest.fixture(scope="module")
def kserve() -> list[Document]:
    return build_kustomization(DEPLOY / "kserve")


@pytest.fixture(scope="module")
def pods(installations: dict[str, list[Document]], kserve: list[Document]) -> dict[str, Pod]:
    by_installation = {name: deployment_pod(documents) for name, documents in installations.items()}
    return by_installation | {"kserve": kserve_pod(kserve)}


def pod_document(pod: Pod, name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "menagerie"}, "spec": pod.spec}


def schema_error(document: Document, version: str) -> str:
    """What the schema of a Kubernetes minor refuses in a document, unknown fields included; empty if nothing."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{document['kind']}: {error.message}"
    return ""


def python_of(home: str, folder: Path) -> str:
    """The Python of the environment with a folder's requirements."""
    try:
        return str(Environment(ROOT / home, folder / "requirements.txt", complete=True).install(600))
    except InstallError as error:
        pytest.skip(f"what {folder.name} needs {error}")


def all_keys(part: Any) -> Iterator[str]:
    """Every key in a document, at any depth."""
    if isinstance(part, dict):
        yield from part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from all_keys(inner)


def test_newest_kubernetes_is_checked() -> None:
    """Kubernetes supports three minors; once schemas of a newer one are installed, check against that."""
    minors = dict.fromkeys(version.rsplit(".", 1)[0] for version in all_versions())
    assert list(minors)[-3::2] == [OLDEST, NEWEST]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_documents_fit_the_schemas_of_kubernetes(
    installations: dict[str, list[Document]], kserve: list[Document], pods: dict[str, Pod], version: str
) -> None:
    """Without unknown fields, and with the pod that KServe makes; a misspelt field is found."""
    documents = [document for documents in installations.values() for document in documents]
    documents += [only_document(kserve, "PodDisruptionBudget"), pod_document(pods["kserve"], "kserve")]
    assert [error for document in documents if (error := schema_error(document, version))] == []
    misspelt = deepcopy(documents[-1])
    misspelt["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["second"] = 5
    assert "second" in schema_error(misspelt, version)


@pytest.mark.parametrize("sdk", ["oldest", "newest"])
def test_documents_fit_the_types_of_kserve(kserve: list[Document], tmp_path: Path, sdk: str) -> None:
    """Those of KServe's own SDK, field by field; a misspelt field and a wrong type are found."""
    command = [python_of(".clients/kserve", KSERVE_CLIENTS), "-I", str(KSERVE_CLIENTS / "check_types.py")]
    if sdk == "oldest":
        home = Path(python_of(".clients/kserve-oldest", KSERVE_CLIENTS / "oldest")).parent.parent
        (packages,) = home.glob("lib/python*/site-packages")
    kserve_documents = [document for document in kserve if document["apiVersion"].startswith("serving.kserve.io/")]
    misspelt, mistyped = deepcopy(kserve_documents), deepcopy(kserve_documents)
    only_document(misspelt, "InferenceService")["spec"]["predictor"]["model"]["storageURI"] = "s3://models"
    only_document(mistyped, "ServingRuntime")["spec"]["containers"][0]["startupProbe"]["periodSeconds"] = "1"
    (tmp_path / "lists.json").write_text(json.dumps([kserve_documents, misspelt, mistyped]))
    arguments = [str(tmp_path / "lists.json"), *([str(packages)] if sdk == "oldest" else [])]
    checked = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=True)
    nothing, misspelt_error, mistyped_error = checked.stdout.splitlines()
    assert nothing == ""
    assert "has no field storageURI" in misspelt_error
    assert "startupProbe.periodSeconds is no int" in mistyped_error


def test_pods_meet_the_restricted_profile(
    installations: dict[str, list[Document]], pods: dict[str, Pod], tmp_path: Path
) -> None:
    """Checkov fails only the excused checks here, and every check of the profile on pods that violate it."""
    privileged = deepcopy(pods["small"])
    privileged.spec.update(hostPID=True, hostIPC=True, hostNetwork=True, securityContext={})
    privileged.container.update(securityContext={"privileged": True})
    privileged.container["ports"][0]["hostPort"] = 80
    unrestricted = deepcopy(privileged)
    unrestricted.container.pop("securityContext")
    documents = [document for documents in installations.values() for document in documents]
    documents += [
        pod_document(pods["kserve"], "kserve"),
        pod_document(privileged, "privileged"),
        pod_document(unrestricted, "unrestricted"),
    ]
    (tmp_path / "documents.yaml").write_text(yaml.safe_dump_all(documents))
    folder = ROOT / "tests" / "policy"
    command = [python_of(".policy/checkov", folder), "-I", str(folder / "audit.py"), str(tmp_path / "documents.yaml")]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
    violating = {"Pod.menagerie.privileged", "Pod.menagerie.unrestricted"}
    assert {check for check, resource, _ in report["failed"] if resource in violating} >= RESTRICTED
    assert [each for each in report["failed"] if each[1] not in violating and each[0] not in EXCUSED] == []
    assert report["unread"] == []


def test_pods_set_no_other_restricted_field(pods: dict[str, Pod]) -> None:
    """Rules that Checkov does not check: volume types, and fields that must stay unset."""
    for pod in pods.values():
        assert UNSET.isdisjoint(all_keys(pod.spec))
        assert {kind for volume in pod.spec["volumes"] for kind in volume if kind != "name"} <= VOLUMES
    assert only_document(build_kustomization(DEPLOY / "kubernetes" / "base"), "Namespace")["metadata"][
        "labels"
    ].items() >= {("pod-security.kubernetes.io/enforce", "restricted")}


def test_pod_timings_fit_its_settings(pods: dict[str, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are valid, the grace period covers them, and probes use the port that answers under any load."""
    for pod in pods.values():
        with monkeypatch.context() as context:
            for name, value in pod.environment.items():
                context.setenv(name, value)
            settings = Settings.load()
        drain_seconds = pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod.spec["terminationGracePeriodSeconds"] == drain_seconds + settings.grace_seconds
        assert str(pod.container["ports"][0]["containerPort"]) == pod.environment["PORT"]
        probes = [pod.container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
        assert {pod.port(probe["port"]) for probe in probes} == {settings.health_port} != {int(pod.environment["PORT"])}
        assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]


def test_pods_disable_service_links(pods: dict[str, Pod]) -> None:
    """For a Service named menagerie, Kubernetes would set MENAGERIE_PORT and others, which the settings refuse."""
    assert all(pod.spec["enableServiceLinks"] is False for pod in pods.values())


def test_selectors_and_references_match_the_deployment(installations: dict[str, list[Document]]) -> None:
    """Service, autoscaler, disruption budget and policy select its pods by labels, name and port."""
    for documents in installations.values():
        deployment, policy = only_document(documents, "Deployment"), only_document(documents, "NetworkPolicy")["spec"]
        template = deployment["spec"]["template"]
        port = template["spec"]["containers"][0]["ports"][0]
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


def test_egress_is_for_traces_only(installations: dict[str, list[Document]]) -> None:
    """None without the component; with it, the collector of the settings and DNS."""
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
    """By annotations or by the PodMonitor, at the pods' port; KServe's own annotations agree."""
    for pod in pods.values():
        annotations = {key: value for key, value in pod.annotations.items() if key.startswith("prometheus.io/")}
        target = {"port": pod.environment["PORT"], "path": "/metrics"}
        assert annotations == {f"prometheus.io/{key}": value for key, value in (target | {"scrape": "true"}).items()}
    assert {f"prometheus.kserve.io/{key}": value for key, value in target.items()}.items() <= pod.annotations.items()
    documents = build_installation(tmp_path, "small", "pod-monitor")
    monitor, deployment = only_document(documents, "PodMonitor"), only_document(documents, "Deployment")
    template = deployment["spec"]["template"]
    assert monitor["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": template["spec"]["containers"][0]["ports"][0]["name"], "path": "/metrics"}


def test_rollout_keeps_all_pods(installations: dict[str, list[Document]], kserve: list[Document]) -> None:
    """A new pod is ready before an old one stops, and maintenance leaves most of them running."""
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


def test_changed_setting_causes_a_rollout(tmp_path: Path, installations: dict[str, list[Document]]) -> None:
    """The ConfigMap's name contains a hash of its content and the pods refer to it, so a change can be rolled back."""
    changed = build_installation(tmp_path, "small", MENAGERIE_LOG_RATE="1000")
    assert deployment_pod(changed).environment["MENAGERIE_LOG_RATE"] == "1000"
    before, after = (
        only_document(documents, "ConfigMap")["metadata"]["name"] for documents in (installations["small"], changed)
    )
    assert before != after


def test_swarm_stack_is_valid() -> None:
    """`docker stack config` accepts it, its settings exist, and its grace period covers them."""
    command = ["docker", "stack", "config", "--compose-file", str(DEPLOY / "swarm" / "stack.yml")]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        pytest.skip("no docker command here")
    assert completed.returncode == 0, completed.stderr
    service = yaml.safe_load(completed.stdout)["services"]["serve"]
    assert "tmpfs" not in service, "Swarm takes that key and does nothing about it"
    assert [(each["type"], each["target"]) for each in service["volumes"]] == [("tmpfs", "/tmp")]  # noqa: S108
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {"WEB_CONCURRENCY"}
    assert service["environment"].keys() <= known
    assert service["stop_grace_period"] == f"{Settings().grace_seconds:g}s"
    assert service["deploy"]["update_config"]["order"] == "start-first"
