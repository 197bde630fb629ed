#include "data/data_commands.h"

#include <chrono>
#include <cstdio>
#include <memory>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "data/chat_template.h"
#include "data/corpus.h"
#include "data/corpus_export.h"
#include "data/corpus_info.h"
#include "data/corpus_manifest.h"
#include "data/corpus_preparation.h"
#include "data/entry_format.h"

namespace moe {
namespace {

std::string describe_tokenizers() {
  std::string text = "a file or folder of another program's tokenizer, or one of";
  for (const TokenizerEntry& entry : tokenizers()) {
    if (entry.make) text += fmt::format("\n{}: {}", entry.name, entry.help);
  }
  return text;
}

std::string describe_entry_formats() {
  std::string text = "how the text is cut into entries, of which some are held out; one of";
  for (const EntryFormat& entry : entry_formats()) text += fmt::format("\n{}: {}", entry.name, entry.help);
  return text;
}

void show(const Corpus& corpus) {
  fmt::print("{}", describe_corpus(corpus));
  for (const std::string& doubt : corpus.doubts()) log::warn("{}", doubt);
}

void run_prepare(const PreparationOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  if (!prepare_corpus(options)) {
    log::info("{} is already prepared from these inputs and options", options.output);
    return;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Corpus corpus = Corpus::open(options.output);
  int64_t bytes = 0;
  for (const Split& split : corpus.splits()) bytes += split.raw_bytes().value_or(0);
  log::info("prepared {} of text in {} ({}/s)", format_bytes(static_cast<double>(bytes)), format_seconds(seconds),
            format_bytes(static_cast<double>(bytes) / seconds));
  show(corpus);
}

void add_prepare(CommandLine& app) {
  auto options = std::make_shared<PreparationOptions>();
  CommandLine command = app.add_subcommand("prepare", "Make a corpus folder from text files");
  command
      .add_option("-i,--input", options->inputs,
                  "files of text, of JSON lines or, with --field, of CSV or TSV, plain or compressed by gzip, xz or "
                  "zstd, - for standard input, or "
                  "folders, whose files are documents; concatenated in this order")
      .required();
  command.add_option("-o,--output", options->output, "output folder").required();
  command.add_option("--name", options->name, "name of the corpus; default: the name of the folder");
  command.add_option("--tokenizer", options->tokenizer, describe_tokenizers()).capture_default_str();
  command.add_option("--vocabulary", options->vocabulary.vocabulary,
                     "for bpe the folder with its files, for sentencepiece a .model file, for huggingface a "
                     "tokenizer.json, for tiktoken a file of tokens and ranks");
  command.add_option("--pattern", options->vocabulary.pattern,
                     "how tiktoken's vocabulary cuts a text into words: gpt2, cl100k, o200k or a regular expression");
  command.add_option("--vocab-size", options->vocabulary.vocab_size,
                     "largest number of pieces that sentencepiece or bpe learns");
  command
      .add_option("--min-count", options->vocabulary.min_count,
                  "least count of a word in the training split; rarer words become <unk>")
      .capture_default_str();
  command.add_option(
      "--split", options->split,
      "train/validation/test as percent (90/5/5, the default), shares (0.9/0.05/0.05), or bytes with a unit: "
      "k, M, G or B (90M/5M/5M)");
  command.add_option("--entries", options->entries, describe_entry_formats());
  command.add_option(
      "--hold-out", options->hold_out,
      "every k-th entry goes to validation, the one after it to test; default 20; entries default to paragraphs");
  auto chat = std::make_shared<std::string>();
  command.add_option(
      "--chat", *chat,
      "the inputs are conversations as JSON lines: {\"messages\": [{\"role\": ..., \"content\": ...}, "
      "...]} or {\"prompt\": ..., \"completion\": ...}; of each only the assistant's messages are learned. "
      "How they are written as texts: chatml, roles, plain, or a JSON file with what stands before and "
      "after the messages of each role");
  const CommandOption field = command.add_option(
      "--field,--text-field", options->field.name,
      "the member of JSON lines, or the column of CSV or TSV (by its name on the first line, or by its number from 1), "
      "that holds the text; default: text, of JSON lines; '': everything is plain text");
  command.add_flag(
      "--end-of-document", options->end_of_document,
      "append the tokenizer's end-of-document token to every document or entry: bpe's <|endoftext|>, sentencepiece's "
      "</s>");
  command.add_flag("--deduplicate", options->deduplicate,
                   "leave out documents with the text of an earlier one, compared by a 64-bit hash");
  command.add_flag("--force", options->force, "replace a corpus prepared from other inputs or options");
  command.callback([options, field, chat] {
    if (!chat->empty()) {
      if (field.count() > 0) throw UsageError("--chat and --field exclude each other; give one of them");
      options->field.chat = std::make_shared<const ChatTemplate>(*chat);
    }
    options->field.is_chosen = field.count() > 0 && !options->field.name.empty();
    run_prepare(*options);
  });
}

void add_shard_options(CommandLine& command, CorpusOptions& options) {
  command.add_option("--vocab-size", options.vocab_size, "vocabulary size of .bin files, which do not record it");
  command.add_option("--tokenizer", options.tokenizer,
                     "tokenizer of .bin files: the folder of GPT-2's encoder.json and vocab.bpe, a .model file or a "
                     "tokenizer.json, a file of tiktoken, a checkpoint or a prepared corpus");
  command.add_option("--pattern", options.pattern,
                     "how tiktoken's vocabulary cuts a text into words: gpt2, cl100k, o200k or a regular expression");
}

struct InfoOptions {
  std::string path;
  CorpusOptions corpus;
  bool verify = false;
};

// Prints what of each file was checked.
void verify(const std::string& path, const CorpusOptions& options) {
  std::vector<VerifiedFile> files;
  try {
    files = Corpus::open(path, options).verify();
  } catch (const DataError& error) {
    // What a prepared corpus lacks or holds in place of its files is damage, as another hash is.
    if (!CorpusManifest::exists_in(path)) throw;
    throw CheckpointError(error.what());
  }
  bool all_hashed = true;
  for (const VerifiedFile& file : files) {
    all_hashed = all_hashed && file.hashed;
    fmt::print("{}: {}\n", file.path, file.hashed ? "as it was prepared" : "readable; no hash of it was recorded");
  }
  if (!all_hashed) {
    log::warn(
        "{}: changes that keep the length cannot be noticed where no hash was recorded; moe-data prepare records "
        "hashes "
        "of all files",
        path);
  }
}

void add_verify(CommandLine& app) {
  auto options = std::make_shared<InfoOptions>();
  CommandLine command =
      app.add_subcommand("verify", "Check that a corpus is what was prepared, by the hashes of all its files");
  command.add_option("path", options->path, "a prepared folder, a .bin file, a folder of them or a quoted pattern")
      .required();
  add_shard_options(command, options->corpus);
  command.callback([options] { verify(options->path, options->corpus); });
}

void add_info(CommandLine& app) {
  auto options = std::make_shared<InfoOptions>();
  CommandLine command = app.add_subcommand("info", "Describe a corpus");
  command.add_option("path", options->path, "a prepared folder, a .bin file, a folder of them or a quoted pattern")
      .required();
  add_shard_options(command, options->corpus);
  command.add_flag("--verify", options->verify, "the same as `moe-data verify` first");
  command.callback([options] {
    if (options->verify) verify(options->path, options->corpus);
    show(Corpus::open(options->path, options->corpus));
  });
}

struct ExportOptions {
  std::string path;
  CorpusOptions corpus;
  std::string split = "test";
  int64_t tokens = 0;
};

void add_export(CommandLine& app) {
  auto options = std::make_shared<ExportOptions>();
  CommandLine command = app.add_subcommand("export", "Write the text of a split to standard output");
  command.add_option("path", options->path, "a prepared folder, a .bin file, a folder of them or a quoted pattern")
      .required();
  add_shard_options(command, options->corpus);
  command.add_option("--split", options->split, "train, validation or test").capture_default_str();
  command.add_option("--tokens", options->tokens, "number of leading tokens to write; default: all");
  command.callback([options] {
    const Corpus corpus = Corpus::open(options->path, options->corpus);
    export_text(corpus.split(options->split), corpus.tokenizer(), options->tokens, stdout);
  });
}

constexpr int64_t kMostTokens = 1'000'000'000'000;  // of a split

struct SyntheticOptions {
  SyntheticConfig config;
  std::string output;
  bool force = false;
};

void add_synthetic(CommandLine& app) {
  auto options = std::make_shared<SyntheticOptions>();
  SyntheticConfig& config = options->config;
  CommandLine command = app.add_subcommand("synthetic", "Make a corpus from a random source with a known entropy rate");
  command.add_option("-o,--output", options->output, "output folder").required();
  command.add_option("--states", config.states, "vocabulary").capture_default_str().between(2, 1 << 24);
  command.add_option("--order", config.order, "number of preceding tokens that the next one depends on")
      .capture_default_str()
      .between(1, 24);
  command
      .add_option("--concentration", config.concentration,
                  "concentration of the Dirichlet rows: small is predictable, large is uniform")
      .capture_default_str()
      .between_numbers(1e-3, 1e6);
  command.add_option("--seed", config.seed, "seed").capture_default_str();
  command.add_option("--train-tokens", config.train_tokens, "number of tokens in the training split")
      .capture_default_str()
      .between(2, kMostTokens);
  command.add_option("--validation-tokens", config.validation_tokens, "number of tokens in the validation split")
      .capture_default_str()
      .between(0, kMostTokens);
  command.add_option("--test-tokens", config.test_tokens, "number of tokens in the test split")
      .capture_default_str()
      .between(0, kMostTokens);
  command.add_flag("--force", options->force, "replace a corpus prepared with other options");
  command.callback([options] {
    if (prepare_synthetic(options->config, options->output, options->force)) {
      show(Corpus::open(options->output));
    } else {
      log::info("{} is already prepared with these options", options->output);
    }
  });
}

}  // namespace

void add_data_commands(CommandLine& app) {
  app.require_subcommand();
  add_prepare(app);
  add_info(app);
  add_verify(app);
  add_export(app);
  add_synthetic(app);
}

}  // namespace moe
