"""Health checks (KC-26, KC-27, KC-93..95): waits, timeouts, failing fast."""

from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map, deployment

JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: work
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations:
        fluxless.dev/fail: "%s"
    spec:
      restartPolicy: Never
      containers:
        - name: main
          image: example/work
"""


async def test_a_deployment_is_awaited_and_healthy_is_set(flux: Flux, repo: Repo) -> None:
    repo.push({"web.yaml": deployment("web"), "job.yaml": JOB % "false"})
    await flux.source(repo)
    await flux.kustomization("app", wait=True)
    await flux.run()
    app = await flux.ks("app")
    assert ready(app) == ("True", "ReconciliationSucceeded"), message(app)
    assert message(app, "Healthy").startswith("Health check passed in ")
    live = await flux.get("apps/v1", "Deployment", "web")
    assert live is not None
    assert live["status"]["readyReplicas"] == 1


async def test_a_failed_job_ends_the_wait_early_and_is_named(flux: Flux, repo: Repo) -> None:
    repo.push({"job.yaml": JOB % "true"})
    await flux.source(repo)
    await flux.kustomization("app", wait=True, timeout="5m")
    await flux.run(patience=2)
    app = await flux.ks("app")
    assert ready(app) == ("False", "HealthCheckFailed")
    name = f"Job/{flux.namespace}/work"
    assert f"failed early due to stalled resources: [{name} status: 'Failed']" in message(app)
    assert app["status"]["inventory"]["entries"]
    assert "lastAppliedRevision" not in app["status"]


async def test_without_failing_fast_a_check_goes_on_while_others_may_become_ready(flux: Flux, repo: Repo) -> None:
    """KC-100, DisableFailFastBehavior."""
    flux.configure(fail_fast=False)
    repo.push({"job.yaml": JOB % "true", "web.yaml": deployment("web", fails=True)})
    await flux.source(repo)
    await flux.kustomization("app", wait=True, timeout="5m")

    async def has_failed() -> bool:
        return bool(((await flux.get("batch/v1", "Job", "work") or {}).get("status") or {}).get("failed"))

    await flux.run_until(has_failed)
    assert ready(await flux.ks("app"))[0] == "Unknown"
    repo.push({"web.yaml": None})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=2)
    app = await flux.ks("app")
    assert ready(app) == ("False", "HealthCheckFailed")
    assert f"failed early due to stalled resources: [Job/{flux.namespace}/work status: 'Failed']" in message(app)


async def _checked(flux: Flux) -> bool:
    """Whether the health of `app` is looked at."""
    return message(await flux.ks("app"), "Reconciling").startswith("Running health checks")


async def test_an_unhealthy_object_waits_durably_and_a_new_revision_ends_the_wait(flux: Flux, repo: Repo) -> None:
    repo.push({"web.yaml": deployment("web", fails=True)})
    await flux.source(repo)
    await flux.kustomization("app", wait=True, timeout="5m")
    await flux.run_until(lambda: _checked(flux))
    waiting = await flux.ks("app")
    assert ready(waiting) == ("Unknown", "Progressing")
    assert "Running health checks for revision main@sha1:" in message(waiting, "Reconciling")
    repo.push({"web.yaml": deployment("web")})
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True"


async def test_named_health_checks_look_at_those_objects_only(flux: Flux, repo: Repo) -> None:
    repo.push({"web.yaml": deployment("web", fails=True), "a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", healthChecks=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}])
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True"


async def test_without_anything_to_check_there_is_no_healthy_condition(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    types = [condition["type"] for condition in (await flux.ks("app"))["status"]["conditions"]]
    assert types == ["Ready"]


async def test_expressions_of_the_user_decide_for_their_kinds(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a", "starting")})
    await flux.source(repo)
    rule = {"apiVersion": "v1", "kind": "ConfigMap", "current": "data.value == 'up'", "failed": "data.value == 'down'"}
    await flux.kustomization("app", wait=True, timeout="5m", healthCheckExprs=[rule])
    await flux.run_until(lambda: _checked(flux))
    assert ready(await flux.ks("app"))[0] == "Unknown"
    repo.push({"a.yaml": config_map("a", "up")})
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True"
    repo.push({"a.yaml": config_map("a", "down")})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=1)
    assert ready(await flux.ks("app")) == ("False", "HealthCheckFailed")
    await flux.kustomization("app", wait=True, healthCheckExprs=[rule | {"current": "("}])
    await flux.run(patience=1)
    assert ready(await flux.ks("app")) == ("False", "InvalidCELExpression")


async def test_a_job_that_is_gone_after_it_has_finished_is_ready_and_not_run_again_while_others_are_awaited(
    flux: Flux, repo: Repo
) -> None:
    """Kubernetes deletes a Job with `ttlSecondsAfterFinished` itself (KC-94)."""
    ttl = "spec:\n  ttlSecondsAfterFinished: 0\n"
    repo.push({"job.yaml": (JOB % "false").replace("spec:\n", ttl, 1), "web.yaml": deployment("web", fails=True)})
    await flux.source(repo)
    await flux.kustomization("app", wait=True, timeout="5m")

    async def has_gone() -> bool:
        made = any("Job/" in event["message"] for event in await flux.events("app"))
        return made and await flux.get("batch/v1", "Job", "work") is None

    await flux.run_until(has_gone)
    assert ready(await flux.ks("app"))[0] == "Unknown"
    written = [event["message"] for event in await flux.events("app") if "Job" in event.get("message", "")]
    assert [line for text in written for line in text.splitlines() if "Job" in line] == [
        f"Job/{flux.namespace}/work created"
    ]
    repo.push({"web.yaml": None})
    await flux.request("GitRepository", "repo")
    await flux.run()
    app = await flux.ks("app")
    assert ready(app) == ("True", "ReconciliationSucceeded"), message(app)
    assert app["status"]["inventory"]["entries"]
