"""Multiple-choice questions get the accuracies of lm-evaluation-harness on the exported model."""
import json
import unittest

from interop import InteropTest, MISSING, run

try:
    import lm_eval
    import lm_eval.models.huggingface
    import lm_eval.tasks
except ImportError as error:
    lm_eval, WHY = None, str(error)

TEXT = ["to be, or not to be: that is the question.", "whether 'tis nobler in the mind to suffer",
        "the slings and arrows of outrageous fortune,", "or to take arms against a sea of troubles",
        "and by opposing end them."]
TASK = """task: ours
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""


def questions():
    words = " ".join(TEXT).split()
    for i in range(120):
        prompt = " ".join(words[(7 * i + j) % len(words)] for j in range(3 + i % 9))
        if i % 5 == 0:
            prompt += "  "  # blanks at its end belong to the choice
        if i % 17 == 0:
            prompt *= 12  # longer than the context
        choices = [" ".join(words[(11 * i + 5 * c + j) % len(words)] for j in range(1 + (i + c) % 4)) for c in range(2 + i % 3)]
        yield {"prompt": prompt, "choices": choices, "answer": i % len(choices)}


@unittest.skipIf(MISSING is None and lm_eval is None, "the package lm_eval is absent")
class Choices(InteropTest):
    def test_accuracies(self):
        (self.folder / "text").write_text("\n".join(TEXT * 60))
        run("moe-data", "prepare", "--input", self.folder / "text", "--output", self.folder / "corpus", "--tokenizer", "byte")
        settings = ["model.layers=2", "model.d_model=32", "model.attention.heads=4", "moe.experts=4", "moe.d_ff=32",
                    "data.sequence=64", "train.batch=8", "train.steps=150", "train.learning_rate={kind: constant, value: 0.01}",
                    f"data.path={self.folder}/corpus", f"folder={self.folder}", "name=run", "evaluate.tokens=500"]
        run("moe-train", *(part for setting in settings for part in ("--set", setting)))
        run("moe-convert", "to-hf", self.folder / "run", self.folder / "hf")
        file = self.folder / "questions.jsonl"
        file.write_text("\n".join(json.dumps(question) for question in questions()))
        tasks = self.folder / "tasks"
        tasks.mkdir()
        (tasks / "ours.yaml").write_text(TASK % file)
        model = lm_eval.models.huggingface.HFLM(pretrained=str(self.folder / "hf"), dtype="float32", device="cpu",
                                                max_length=64, batch_size=8)
        theirs = lm_eval.simple_evaluate(model=model, tasks=["ours"], bootstrap_iters=0, task_manager=lm_eval.tasks.TaskManager(
            include_path=str(tasks), include_defaults=False))["results"]["ours"]
        out = run("moe-eval", self.folder / "run", "--choices", file, "--json")
        ours = json.loads(out[out.index("{"):])
        for name, own in (("acc,none", "accuracy"), ("acc_norm,none", "normalised_accuracy")):
            print(f"{name}: {theirs[name]:.4f}, ours {ours[own]['share']:.4f}", flush=True)
            self.assertAlmostEqual(theirs[name], ours[own]["share"], places=9)


if __name__ == "__main__":
    unittest.main()
