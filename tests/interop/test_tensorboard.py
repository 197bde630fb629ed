"""TensorBoard's own reader opens the event files of a run that was resumed, and draws every step once."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from interop import PROGRAMS

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    EventAccumulator = None

CONFIG = """
model: {layers: 1, d_model: 16, attention: {heads: 2}}
moe: {experts: 4, d_ff: 16, router: {kind: topk, k: 2}, balance: [{kind: switch, coefficient: 0.01}]}
data: {path: synthetic, sequence: 16}
train: {batch: 4, steps: 20}
evaluate: {every: 5, tokens: 200}
checkpoint: {every: 10, keep_last: 2}
log: {every: 1, tensorboard: true}
"""


@unittest.skipIf(EventAccumulator is None, "the package tensorboard is not installed")
class TensorBoard(unittest.TestCase):
    def test_every_step_is_drawn_once(self):
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder, "config.yaml")
            config.write_text(CONFIG)
            train = [PROGRAMS / "moe-train", "-c", config, "--quiet", "--set", f"folder={folder}"]
            subprocess.run(train, check=True)
            run = pathlib.Path(folder, "run")
            # Without its last checkpoint the run goes on from step 10 and makes ten steps again.
            shutil.rmtree(max(run.joinpath("checkpoints").glob("step*")))
            subprocess.run(train, check=True)
            self.assertEqual(len(list(run.glob("events.out.tfevents.*"))), 2)
            events = EventAccumulator(str(run), size_guidance={"scalars": 0})
            events.Reload()
            tags = events.Tags()["scalars"]
            self.assertIn("balance/switch", tags)
            records = [json.loads(line) for line in run.joinpath("metrics.jsonl").read_text().splitlines()]
            for tag, kind in [("train/loss", "train"), ("validation/loss", "eval")]:
                drawn = [(e.step, e.value) for e in events.Scalars(tag)]
                logged = [(r["step"], r["loss"]) for r in records if r["type"] == kind]
                self.assertEqual([step for step, _ in drawn], [step for step, _ in logged])
                for (_, shown), (_, value) in zip(drawn, logged):
                    self.assertAlmostEqual(shown, value, places=5)


if __name__ == "__main__":
    unittest.main()
