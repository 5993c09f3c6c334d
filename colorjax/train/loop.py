"""The training loop."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Callable

import jax
from clu import parameter_overview
from ml_collections import ConfigDict

from colorjax import methods
from colorjax.data import pipeline
from colorjax.data.selection import splits
from colorjax.data.sources.source import Source
from colorjax.errors import DONE, STOPPED, Interrupted, RequestError
from colorjax.parallel import hosts
from colorjax.parallel import mesh as parallel
from colorjax.runtime import waiting
from colorjax.train import fork, phases, start, state, steps
from colorjax.train.assemble import assemble
from colorjax.train.log import profiling, writers
from colorjax.train.log.chroma_alarm import ChromaAlarm
from colorjax.train.log.health import Health
from colorjax.train.log.progress import Progress
from colorjax.train.log.writers import Overview
from colorjax.train.nogan import generations
from colorjax.train.nogan.candidates import Candidates
from colorjax.train.report import Reporter, charts, open_writers
from colorjax.train.skipped import SkippedPhotos
from colorjax.train.stopping import StopSignal
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)


def train_and_evaluate(
    config: ConfigDict,
    workdir: str,
    *,
    time_limit: float | None = None,
    profile: tuple[int, int] | None = None,
    after_step: Callable[[int], object] = lambda step: None,
) -> int:
    """Trains a config to the end and evaluates it; resumes from the workdir's newest checkpoint.

    Args:
        config: see configs/default.py.
        workdir: folder of the run; an earlier run of the same config is resumed.
        time_limit: seconds after which the run saves and ends.
        profile: steps (first, last) to trace into `WORKDIR/profile`.
        after_step: called with the number of each step once it is dispatched, before its loss is
            known.

    Returns:
        0 when done; 75 when a signal or the time limit ended the run early: run it again to resume.

    Raises:
        RequestError: invalid config, data or workdir, or a loss that is not finite.
    """
    with contextlib.ExitStack() as stack:
        stop = StopSignal(time_limit)
        tracing = profiling.Profile(profile)
        return _Run(config, Workdir(workdir), stop, tracing, after_step, stack).train()


class _Run:
    """State of one process start on a workdir, shared by the phases of training."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Workdir,
        stop: StopSignal,
        profile: profiling.Profile,
        after_step: Callable[[int], object],
        stack: contextlib.ExitStack,
    ):
        """Builds everything, with shapes first, and restores or initializes the state."""
        self.workdir = workdir
        writers.names_of(config)  # refuses a missing package before the photos are read
        self.layout = parallel.layout_of(config)
        self._saved = lambda: 0  # returns the newest saved step
        stack.enter_context(hosts.Watch(self._how_to_resume))
        parts = assemble(config)
        self.config = config = parts.config
        self.splits, self.method, self.plan = parts.splits, parts.method, parts.plan
        self.patience = parts.patience
        self.alarm = ChromaAlarm(config.chroma_alarm)
        fork.check(config, workdir)
        workdir.lock(stack)
        workdir.prepare(config, self.splits.train.class_names)
        pictured = splits.hue_histograms(self.splits, config.data)
        workdir.keep_split(splits.indices(self.splits), pictured)
        self.stop = stack.enter_context(stop)
        self.profile = stack.enter_context(contextlib.closing(profile))
        self.after_step = after_step
        self.health = Health(workdir.root / "heartbeat.json")
        self.newest = stack.enter_context(Checkpoints(workdir.checkpoints))
        self.best = stack.enter_context(Checkpoints(workdir.best, keep=1))
        self._saved = lambda: self.newest.saved
        self.start_step = self.newest.newest() or 0
        self._check_start()
        self.is_new = self.start_step == 0
        with waiting.phase("preparing the network"):
            self.state = self._first_state()
        self.candidates = Candidates(workdir, config.nogan) if parts.picks else None
        if self.candidates:
            stack.enter_context(self.candidates)
            self.candidates.forget_after(self.start_step)
        self.validated: set[int] = set()
        self.evaluated: set[int] = set()
        self.newest_values: dict[str, float] = {}  # by metric, since the last log line
        self.logged: dict[str, float] = {}  # speed and health in the last log line
        self.num_skipped = 0  # number of unreadable photos replaced so far
        self._restore_history()
        if not self.is_new:
            workdir.update_config(config, finished=self._is_finished(self.start_step))
        self.skipped = SkippedPhotos(workdir.skipped_file)
        self.writer = open_writers(config, workdir, self.start_step + 1, stack)
        self.reporter = Reporter(
            config,
            self.method,
            self.layout,
            self.splits,
            workdir,
            self.writer,
            self.skipped,
            self.stop.poll,
        )

    # The state to start from.

    def _first_state(self) -> state.TrainState:
        plan, config, layout, name = self.plan, self.config, self.layout, str(self.workdir.root)
        if not self.is_new:
            return start.resume(plan, self.newest, self.start_step, config.seed, layout, name)
        if config.fork_from:
            self.start_step, forked = fork.begin(plan, config, self.newest, layout)
            return forked
        return start.initialize(plan, self.method, config, layout, self.splits.train)

    def _check_start(self) -> None:
        """Raises a RequestError if the run has saved steps but its checkpoints are missing."""
        saved = self.health.last_saved()
        if parallel.any_host(self.start_step == 0 and saved > 0):
            raise RequestError(
                f"{str(self.workdir.root)!r} had saved step {saved}, but its checkpoints are "
                "missing; restore a copy of one, or give another --workdir to start from scratch"
            )

    def _restore_history(self) -> None:
        """Truncates metrics and checkpoints after the restored step, then replays the metrics."""
        self.newest.forget_after(self.start_step)  # damaged ones: their steps are saved again
        self.best.forget_after(self.start_step)
        self.workdir.cut_metrics(self.start_step)
        name = f"validation/{self.config.early_stopping.metric}"
        for line in self.workdir.read_metrics():
            if line["step"] > self.start_step:  # this host may still see the untruncated file
                continue
            if self.candidates:
                self.candidates.recall(line)
            if self.patience and name in line and line["step"] not in self.validated:
                self.patience.update(line[name])
                self.validated.add(line["step"])
            if "eval/mae_ab" in line:
                self.evaluated.add(line["step"])
            if parallel.is_first():  # which counts the photos of all hosts
                count = line.get("train/skipped_photos", self.num_skipped)
                self.num_skipped = int(count) if math.isfinite(count) else self.num_skipped

    # Training.

    def train(self) -> int:
        """Runs the remaining steps, then the pending evaluation; returns the exit status."""
        if self.is_new:
            self._describe()
        if self.start_step and self._evaluates_at(self.start_step):  # interrupted by a signal
            self._evaluate(self.start_step)
        if self._is_finished(self.start_step):
            log.info("step %d: training is finished", self.start_step)
        last = self.plan.at(self.start_step)
        if self.start_step and self._keeps_at(self.start_step, last):  # interrupted by a signal
            self._keep_candidate(self.start_step)
        for phase in self.plan.phases:
            done = self.start_step if phase.first_step < self.start_step else phase.first_step
            if done < phase.last_step and not (self.stop or self._is_finished(done)):
                try:
                    self._run_phase(phase, done)
                except Interrupted as error:
                    if jax.process_count() == 1:
                        self.newest.newest()  # waits for the save in progress
                    raise Interrupted(f"{error}; {self._how_to_resume()}") from None
        if self.candidates and not self.stop:
            self.candidates.finish(self.best, state.weights_of(self.state))
        if self.stop or not self._report_final():
            self.newest.newest()  # waits for the save in progress
            log.warning("stopped by %s; %s", self.stop.reason or "a signal", self._how_to_resume())
            self.writer.status = STOPPED
            return STOPPED
        parallel.barrier("done")
        return DONE

    def _how_to_resume(self) -> str:
        return f"the same command resumes from step {self._saved()}"

    def _is_finished(self, step: int) -> bool:
        exhausted = self.patience is not None and self.patience.is_exhausted
        return step >= self.config.total_steps or exhausted

    def _run_phase(self, phase: phases.Phase, done: int) -> None:
        """Runs the steps of a phase that come after step `done`."""
        config = self.config
        if len(self.plan.phases) > 1:
            log.info("phase %s, steps %d to %d", phase.name, done + 1, phase.last_step)
        if done == phase.first_step:
            self.state = start.begin(phase, self.state, self.layout)
            if phase.picks:
                self._keep_candidate(done)
                if self.stop:  # the next start keeps it before the phase begins
                    return
        train_step = jax.jit(
            steps.gathering(phase.step, self.layout),
            donate_argnums=0,
            out_shardings=(self.layout.of_state(self.state), self.layout.replicated),
        )
        photos = self._photos_of(phase)
        if photos is None:
            return
        batches = pipeline.train_batches(
            photos,
            config.data,
            seed=config.seed,
            batch_size=config.batch_size,
            inputs=self.method.wanted,
            weights=config.data.get("weights", ()) if phase.photos == "train" else (),
            start_step=done,
            host=jax.process_index(),
            hosts=jax.process_count(),
        )
        progress = Progress(done, config.total_steps, config.batch_size, bar=config.progress)
        pending: tuple[int, dict[str, jax.Array]] | None = None
        with (
            contextlib.closing(batches),
            contextlib.closing(progress),
            jax.transfer_guard("disallow"),
        ):
            arriving = progress.timed(batches)
            for step in range(done + 1, phase.last_step + 1):
                with self._compiling() if step == done + 1 else contextlib.nullcontext():
                    batch = next(arriving)
                    self.num_skipped += self.skipped.note(photos, batch.pop("skipped"))
                    batch = parallel.to_global(batch, self.layout)
                    self.profile.before(step, self.state, self.workdir)
                    self.state, metrics = train_step(self.state, batch)
                if step == done + 1:
                    progress.restart(step)  # compiling does not count as speed
                self.after_step(step)
                self.stop.poll()
                if pending:  # one step behind, so that the devices never wait for the log
                    self._check_and_log(*pending, progress)
                pending = (step, metrics)
                progress.advance()
                if self._pauses_at(step, phase):
                    self._check_and_log(step, metrics, progress)
                    pending = None
                    with progress.paused(), jax.transfer_guard("allow"):
                        self._evaluate_and_save(step, phase)
                    if self.stop or self._is_finished(step):
                        return
                self.newest.seal(wait=False)

    def _compiling(self) -> contextlib.AbstractContextManager[object]:
        return waiting.phase("reading the first photos and compiling the training step")

    def _evaluates_at(self, step: int) -> bool:
        return _due(step, self.config.eval_every) or step == self.config.total_steps

    def _photos_of(self, phase: phases.Phase) -> Source | None:
        if phase.photos == "train":
            return self.splits.train
        folder = self.workdir.root / "generations"
        if self.start_step < phase.first_step and parallel.is_first():
            folder.rmtree(missing_ok=True)  # made with other weights
        parallel.barrier("no generations")
        return generations.open_source(
            folder,
            self.method,
            self.layout.whole(self.state.eval_variables),
            self.splits.train,
            self.config,
            self.layout,
            self.stop.poll,
        )

    def _saves_at(self, step: int, phase: phases.Phase) -> bool:
        return _due(step, self.config.checkpoint_every) or step == phase.last_step

    def _keeps_at(self, step: int, phase: phases.Phase) -> bool:
        due = _due(step - phase.first_step, self.config.nogan.save_every)
        return phase.picks and (due or step == phase.last_step)

    def _pauses_at(self, step: int, phase: phases.Phase) -> bool:
        pauses = self._saves_at(step, phase) or self._keeps_at(step, phase) or bool(self.stop)
        return pauses or (phase.teaches and self._evaluates_at(step))

    def _check_and_log(self, step: int, metrics: dict[str, jax.Array], progress: Progress) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        values = steps.computed(values)
        if (flaw := steps.explain_divergence(values)) is not None:
            saved = self.newest.saved
            kept = f"the newest saved state is step {saved}" if saved else "nothing was saved yet"
            raise RequestError(f"step {step}: {flaw}; {kept}")
        if "chroma_ratio" in values:
            self.alarm.update(step, values["chroma_ratio"])
        self.newest_values |= (
            values  # keeps the values of a network that did not learn in this step
        )
        if _due(step, self.config.log_every) or step == self.config.total_steps:
            values, self.newest_values = self.newest_values, {}
            speed = progress.measure(step)
            self.skipped.share()
            counts = {"skipped_photos": sum(parallel.allgather_ints([self.num_skipped], 1))}
            counts |= self.health.measure()
            scalars = values | speed | counts
            self.writer.write_scalars(step, {f"train/{k}": v for k, v in scalars.items()})
            self.logged = speed | counts
            progress.show(step, values | self.logged)
        self.health.beat(step, values | self.logged, saved=self._saved)

    def _evaluate_and_save(self, step: int, phase: phases.Phase) -> None:
        """Runs the due evaluations of a step with a finite loss, then saves."""
        if phase.teaches and self._evaluates_at(step):
            self._evaluate(step)
        if self._keeps_at(step, phase):
            self._keep_candidate(step)
        if self.stop or self._saves_at(step, phase) or self._is_finished(step):
            self.best.seal(wait=True)  # finish before a newer state is saved
            self.writer.flush()
            self.newest.save(step, state.weights_of(self.state), self.state.training)

    def _keep_candidate(self, step: int) -> None:
        """Saves a candidate checkpoint with its validation metrics."""
        assert self.candidates is not None
        if not self.stop and not self.candidates.knows(step):
            scores = self.reporter.validate(step, self._seen_variables())
            if scores is not None:
                self.candidates.keep(step, state.weights_of(self.state), scores)

    @property
    def _judges(self) -> methods.Variables:
        """Variables of the feature network for evaluations; empty without one."""
        features = self.state.features
        return {} if features is None else {"features": features.variables}

    def _seen_variables(self) -> methods.Variables:
        return self.layout.whole(self.state.eval_variables | self._judges)

    def _evaluate(self, step: int) -> None:
        """Runs the evaluations of a step that are not done yet; a signal ends them."""
        variables = self._seen_variables()
        if self.patience and step not in self.validated and not self.stop:
            scores = self.reporter.validate(step, variables)
            metric = self.config.early_stopping.metric
            if scores is not None and self.patience.update(scores.get(metric, math.nan)):
                self.best.save(step, state.weights_of(self.state))
        if step not in self.evaluated and not self.stop:
            self.reporter.report(step, variables)

    def _report_final(self) -> bool:
        """Evaluates the final weights (the best, else the newest) on the test photos."""
        self.newest.seal(wait=True)
        self.best.seal(wait=True)
        weights = open_weights(self.workdir.root)
        step, variables = weights.load(self.method, self.layout.replicated)
        variables |= self.layout.whole(self._judges)
        final = step < (self.newest.newest() or 0)  # the best weights are older
        return not self.reporter.needs_report(step) or self.reporter.report(
            step, variables, final=final
        )

    def _describe(self) -> None:
        """Logs the parameters and the numbers of photos."""
        table = parameter_overview.get_parameter_overview(self.state.params, include_stats=False)
        sizes = (leaf.size for leaf in jax.tree.leaves(self.state.params))
        log.info("%s parameters; a table is in TensorBoard, page Text", f"{sum(sizes):,}")
        uses = ("training", "validation", "test")
        counts = [f"{len(part)} {use}" for part, use in zip(self.splits, uses, strict=True)]
        log.info("photos: %s", ", ".join(counts))
        texts = {"parameters": f"```\n{table}\n```", "config": f"```\n{self.config}\n```"}
        self.writer.write_texts(0, texts)
        fields, metrics = _hparams(self.config), ("eval/psnr", "eval/mae_ab")
        whole = json.loads(json.dumps(self.config.to_dict()))
        self.writer.write_overview(Overview(fields, metrics, charts(), whole))


def _hparams(config: ConfigDict) -> dict[str, float | str]:
    """Returns the fields that TensorBoard's page HParams compares between runs."""
    values = {name: config[name] for name in ("seed", "batch_size", "total_steps", "dtype")}
    values["data.image_size"] = config.data.image_size
    values["loss.name"] = config.loss.name
    for name in ("name", "learning_rate", "schedule", "weight_decay", "ema_decay"):
        values[f"optimizer.{name}"] = config.optimizer[name]
    values |= {f"model.{name}": value for name, value in config.model.to_dict().items()}
    return {name: x for name, x in values.items() if isinstance(x, bool | int | float | str)}


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
