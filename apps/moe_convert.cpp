// moe-convert: writes trained models for other programs, and reads what others trained.
#include <algorithm>
#include <iostream>

#include "apps/command_line.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/convert/approximation.h"
#include "core/convert/check_against.h"
#include "core/convert/from_gguf.h"
#include "core/convert/from_hf.h"
#include "core/convert/gguf_layout.h"
#include "core/convert/logits.h"
#include "core/convert/to_gguf.h"
#include "core/convert/to_hf.h"
#include "core/step/cpu_setup.h"

using namespace moe;

// What a subcommand was given, and what it does.
struct Command {
  std::string from, to, which = "last", dtype = "f32", shard = "5GiB", layout, device = "cpu", ids, data,
                        python = "python3";
  int64_t sequence = 0, sequences = 16, length = 125, tokens = 100'000;
  bool approximate = false;
};

static void add_checkpoint(CommandLine& app, Command& c) {
  app.add_option("run", c.from, "folder of a run or of a checkpoint").required();
  app.add_option("--checkpoint", c.which, "checkpoint of a run: last, best or a step").capture_default_str();
}

static void export_to_hf(const Command& c) {
  const HfExportOptions options{.format = number_format(c.dtype),
                                .shard_bytes = parse_bytes(c.shard),
                                .layout = c.layout,
                                .approximate = c.approximate};
  const HfExport result = to_hf(find_checkpoint(c.from, c.which), c.to, options);
  log::info("{} -> {}: {}, {} tensors, {} parameters", result.checkpoint, c.to, result.layout, result.tensors,
            format_count(static_cast<double>(result.parameters)));
  if (!result.tokenizer_refusal.empty()) log::warn("no tokenizer was written: {}", result.tokenizer_refusal);
  if (!result.tokenizer_warning.empty()) log::warn("{}", result.tokenizer_warning);
  if (result.left_out.empty()) return;
  for (const Refusal& r : result.left_out) log::warn("left out: {}: {}", r.key, r.reason);
  setup_cpu(0, false, {});
  const Gap gap = measure_gap(result.checkpoint, c.to, c.data, c.tokens);
  log::warn("{}: the exported model has {:.4f} nats per token, the trained one {:.4f}: {:+.4f} ({:.0f} tokens)",
            gap.data, gap.exported, gap.trained, gap.exported - gap.trained, gap.tokens);
}

static void warn_of_tokenizer(const std::string& why) {
  if (why.empty()) return;
  log::warn(
      "its tokenizer is none of ours: {}. The model reads files of token ids that its own tokenizer made (data.path "
      "and data.vocab_size; see docs/using_the_model.md) and refuses texts that moe-data prepared",
      why);
}

static void import_from_hf(const Command& c) {
  const HfImport result = from_hf(c.from, c.to, {.sequence = c.sequence});
  log::info("{} -> {}: {}, {} parameters, sequences of {} tokens, tokenizer {}", c.from, c.to, result.layout,
            format_count(static_cast<double>(result.parameters)), result.sequence, result.tokenizer);
  warn_of_tokenizer(result.tokenizer_missing);
  if (!result.unread.empty()) log::warn("config.json has keys that were not read: {}", join(result.unread, ", "));
}

static void export_to_gguf(const Command& c) {
  const GgufExport result =
      to_gguf(find_checkpoint(c.from, c.which), c.to, {.format = gguf_format(c.dtype), .layout = c.layout});
  log::info("{} -> {}: {}, {} tensors, {} parameters", c.from, c.to, result.layout, result.tensors,
            format_count(static_cast<double>(result.parameters)));
  if (!result.vocabulary_missing.empty())
    log::warn("the file has no vocabulary: {}; llama.cpp reads token ids only", result.vocabulary_missing);
  if (!result.note.empty()) log::warn("{}", result.note);
}

static void import_from_gguf(const Command& c) {
  const GgufImport result = from_gguf(c.from, c.to, c.sequence);
  log::info("{} -> {}: {}, {} parameters, sequences of {} tokens, tokenizer {}", c.from, c.to, result.layout,
            format_count(static_cast<double>(result.parameters)), result.sequence, result.tokenizer);
  warn_of_tokenizer(result.tokenizer_missing);
  if (!result.unread.empty()) log::warn("the file has keys that were not read: {}", join(result.unread, ", "));
}

static size_t longest(const TokenSequences& sequences) {
  size_t length = 0;
  for (const auto& sequence : sequences) length = std::max(length, sequence.size());
  return length;
}

static void print_logits(const Command& c) {
  const TokenSequences sequences = read_sequences(c.ids);
  setup_cpu(0, false, {});
  LoadedRun run = load_for_logits(c.from, c.which, static_cast<int64_t>(longest(sequences)), c.device);
  write_logits(run, sequences, c.to);
}

static void print_ids(const Command& c) {
  replace_text(c.to, json_text(encode_file(find_checkpoint(c.from, c.which), c.ids)) + "\n");
}

static void check(const Command& c) {
  TokenSequences sequences = c.ids.empty() ? TokenSequences{} : read_sequences(c.ids);
  setup_cpu(0, false, {});
  LoadedRun run = load_for_logits(c.from, c.which, static_cast<int64_t>(longest(sequences)), c.device);
  const int64_t time = std::min(c.length, run.config.data.sequence);
  if (sequences.empty()) sequences = random_sequences(run.state->model->vocab(), c.sequences, time, 1);
  const LogitComparison result = compare_logits(run, sequences, c.to, c.python);
  std::cout << fmt::format(
      "positions             {}\nlargest logit         {:.4f}\nlargest difference    {:.3e}\nmean difference       "
      "{:.3e}\ndivergence            {:.3e} nats\nsame most likely token {:.2f}%\n",
      result.positions, result.largest_logit, result.largest_difference, result.mean_difference, result.divergence,
      100 * result.same_best);
}

static int convert(int argc, char** argv, MpiSession& session) {
  CommandLine app("Writes trained models for other programs, and reads what others trained.");
  app.require_subcommand();
  Command c;
  CommandLine to = app.add_subcommand("to-hf", "write a model as a folder that transformers loads");
  add_checkpoint(to, c);
  to.add_option("out", c.to, "the new folder").required();
  to.add_option("--dtype", c.dtype, "numbers of the weights: f32, bf16 or f16").capture_default_str();
  to.add_option("--shard-size", c.shard, "largest size of a file, such as 500MB or 5GiB").capture_default_str();
  to.add_option("--layout", c.layout,
                "layout of the checkpoint, of those that express the model exactly: " +
                    join(hf_layouts().names(), ", ") + "; default: the first of them");
  to.add_flag("--approximate", c.approximate,
              "leave out what no layout expresses, where there is something near to it");
  to.add_option("--data", c.data,
                "with --approximate: the data on which the difference is measured; default: the run's");
  to.add_option("--tokens", c.tokens, "with --approximate: leading tokens to measure on; 0 = all")
      .capture_default_str()
      .not_negative();
  to.callback([&] { export_to_hf(c); });

  CommandLine from = app.add_subcommand("from-hf", "read a model of transformers as a run at step 0");
  from.add_option("folder", c.from, "folder with config.json and safetensors").required();
  from.add_option("out", c.to, "the new run's folder").required();
  from.add_option("--sequence", c.sequence, "data.sequence of the run; default: the model's length, at most 2048")
      .not_negative();
  from.callback([&] { import_from_hf(c); });

  CommandLine to_file = app.add_subcommand("to-gguf", "write a model as a GGUF file, which llama.cpp runs");
  add_checkpoint(to_file, c);
  to_file.add_option("out", c.to, "the new file").required();
  to_file.add_option("--dtype", c.dtype, "numbers of the matrices: f32, f16, bf16 or q8_0").capture_default_str();
  to_file.add_option("--layout", c.layout,
                     "architecture of llama.cpp, of those that compute the model exactly: " +
                         join(gguf_layouts().names(), ", ") + "; default: the first of them");
  to_file.callback([&] { export_to_gguf(c); });

  CommandLine from_file = app.add_subcommand("from-gguf", "read a GGUF file as a run at step 0");
  from_file.add_option("file", c.from, "GGUF file with numbers in F32, F16, BF16 or Q8_0").required();
  from_file.add_option("out", c.to, "the new run's folder").required();
  from_file.add_option("--sequence", c.sequence, "data.sequence of the run; default: the model's length, at most 2048")
      .not_negative();
  from_file.callback([&] { import_from_gguf(c); });

  CommandLine logits = app.add_subcommand("logits", "write the logits of token ids into a safetensors file");
  add_checkpoint(logits, c);
  logits.add_option("ids", c.ids, "JSON file with a list of lists of token ids").required();
  logits.add_option("out", c.to, "file for the tensors logits.N (tokens, vocabulary)").required();
  logits.add_option("--device", c.device, "auto, cpu or cuda").capture_default_str().one_of({"auto", "cpu", "cuda"});
  logits.callback([&] { print_logits(c); });

  CommandLine ids = app.add_subcommand("ids", "encode a text by the model's tokenizer, as a JSON list of token ids");
  add_checkpoint(ids, c);
  ids.add_option("text", c.ids, "text file").required();
  ids.add_option("out", c.to, "JSON file").required();
  ids.callback([&] { print_ids(c); });

  CommandLine compare = app.add_subcommand("check", "compare a model's logits with those that transformers computes");
  add_checkpoint(compare, c);
  compare.add_option("folder", c.to, "folder that transformers loads").required();
  compare.add_option("--python", c.python, "a Python with torch, transformers and safetensors").capture_default_str();
  compare.add_option("--ids", c.ids, "JSON file with a list of lists of token ids; default: random ids");
  compare.add_option("--sequences", c.sequences, "number of random sequences").capture_default_str().positive();
  compare.add_option("--length", c.length, "tokens of a random sequence, at most data.sequence")
      .capture_default_str()
      .positive();
  compare.callback([&] { check(c); });

  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return convert(argc, argv, session); });
}
