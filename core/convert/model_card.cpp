#include "core/convert/model_card.h"

#include <cmath>
#include <filesystem>

#include "core/base/build_info.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/config/config_writer.h"

namespace moe {

namespace {

std::string row(const std::string& name, const std::string& value) {
  return "| " + name + " | " + value + " |\n";
}

std::string experts_in_words(const PlainModel& m) {
  const PlainExperts& e = m.experts;
  int64_t layers = 0;
  for (const bool moe : m.is_moe) layers += moe ? 1 : 0;
  std::string text =
      fmt::format("{} in each of {} layers, {} per token, width {}", e.count, layers, e.routing.k, e.d_ff);
  if (e.shared_d_ff > 0) text += fmt::format("; a shared one of width {}", e.shared_d_ff);
  return text;
}

std::string training(const CardFacts& f) {
  const TrainConfig& c = f.config;
  std::string text = "| | |\n|---|---|\n";
  text += row("data", c.data.path == kSyntheticData ? "a synthetic source"
                                                    : std::filesystem::path(c.data.path).filename().string());
  text += row("updates", std::to_string(f.state.step));
  text += row("tokens", format_count(f.state.tokens));
  if (f.state.best_loss) {
    text += row("best validation loss",
                fmt::format("{:.4f} nats per token, after {} updates", *f.state.best_loss, f.state.best_step));
  }
  text += row("sequence", fmt::format("{} tokens", c.data.sequence));
  text += row("optimizer", options_text(c.optimizer));
  if (f.form.model.has_experts()) {
    text += row("router", options_text(c.moe.router));
    text += row("strategy", c.moe.strategy.kind());
  }
  return text;
}

}  // namespace

std::string model_card(const CardFacts& f) {
  const PlainModel& m = f.form.model;
  std::string text = "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- moe-train\n";
  text += fmt::format("---\n\n# {}\n\nA language model, trained by moe-train and written in the layout `{}` ({}).\n\n",
                      f.config.name, f.layout.name, f.layout.architecture);
  text += "## Model\n\n| | |\n|---|---|\n";
  text += row("parameters", format_count(static_cast<double>(f.parameters)));
  text += row("layers", std::to_string(m.layers));
  text += row("width", std::to_string(m.d_model));
  text += row("attention", fmt::format("{} heads of {}, {} for keys and values", m.heads, m.d_head, m.kv_heads));
  if (m.has_experts()) text += row("experts", experts_in_words(m));
  text += row("vocabulary", std::to_string(m.vocab));
  text += row("numbers", name_of(f.format));
  text += "\n## Training\n\n" + training(f);
  if (f.form.refusals.empty()) {
    text += "\nIt computes what the trained model computes, up to rounding.\n";
  } else {
    text += "\nIt does not compute what the trained model computes. These parts were left out: " +
            to_words(f.form.refusals) + ".\n";
  }
  if (f.tokenizer.refusal.empty()) {
    text +=
        "\n## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        "tokenizer = AutoTokenizer.from_pretrained(\".\")\nmodel = AutoModelForCausalLM.from_pretrained(\".\")\n"
        "ids = tokenizer(\"Once upon a time\", return_tensors=\"pt\")\n"
        "print(tokenizer.decode(model.generate(**ids, max_new_tokens=50)[0]))\n```\n";
  } else {
    text += "\nThe folder has no tokenizer: " + f.tokenizer.refusal + ".\n";
  }
  if (!f.tokenizer.warning.empty()) text += "\nOf its tokenizer: " + f.tokenizer.warning + ".\n";
  if (!f.tokenizer.note.empty()) text += "\n" + f.tokenizer.note + "\n";
  return text;
}

}  // namespace moe
