#include "data/corpus_preparation.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "data/content_hash.h"
#include "data/corpus_folder_writer.h"
#include "data/document_writer.h"
#include "data/entry_format.h"
#include "data/split_rule.h"
#include "data/text_input.h"
#include "data/tokenizers/external.h"
#include "data/tokenizers/pipeline/pipeline_tokenizer.h"
#include "data/tokenizers/trained.h"

namespace moe {
namespace {

constexpr int64_t kDefaultHoldOut = 20;
constexpr int64_t kStandardBytes = 100'000'000;  // text8 and enwik8
const SplitSizes kStandardSplit = {90'000'000, 5'000'000, 5'000'000};

struct Plan {
  TextInput input;
  const EntryFormat* entries = nullptr;
  SplitRule rule;
  SplitSizes sizes = {};  // set where the rule determines them
};

using PieceVisitor = std::function<void(const DocumentWriter::Piece& piece)>;

void visit_pieces(const Plan& plan, const PieceVisitor& visit) {
  TextReader reader(plan.input);
  if (plan.rule.kind == SplitRule::Kind::hold_out) {
    int64_t num_entries = 0;
    plan.entries->read(reader, [&](std::string_view entry, int64_t offset) {
      visit({plan.rule.split_of_entry(num_entries++), entry, offset, reader.source_of(offset), true});
    });
    return;
  }
  for (int split = 0; split < 3; ++split) {
    int64_t left = plan.sizes[as_index(split)];
    while (left > 0) {
      const int64_t offset = reader.offset();
      const std::string_view piece = reader.next_piece(left);
      if (piece.empty())
        raise<DataError>("{} became shorter while it was read; do not change the input during the preparation",
                         plan.input.paths().back());
      visit({split, piece, offset, reader.source_of(offset), reader.document_begins_at(offset)});
      left -= static_cast<int64_t>(piece.size());
    }
  }
}

bool is_standard(const TextInput& input) {
  if (input.paths().size() != 1) return false;
  const std::string stem = std::filesystem::path(input.paths()[0]).stem().string();
  if (stem != "text8" && stem != "enwik8") return false;
  if (input.total_bytes() == kStandardBytes) return true;
  log::warn("{} has {} bytes, the original {} has {}: results will not be comparable", input.paths()[0],
            input.total_bytes(), stem, kStandardBytes);
  return false;
}

// The folder in which the output is made, for copies of pipes: it has room for the corpus, too.
std::string folder_beside(const std::string& output) {
  const std::filesystem::path parent = std::filesystem::absolute(output + "/").lexically_normal().parent_path();
  const std::string folder = parent.parent_path().string();
  return std::filesystem::is_directory(folder) ? folder : std::string();
}

Plan make_plan(const PreparationOptions& options, PreparationProgress& progress) {
  if (!options.split.empty() && (options.hold_out != 0 || !options.entries.empty())) {
    raise<UsageError>("a split by size ({}) and held-out entries exclude each other; give one of them", options.split);
  }
  const EntryFormat* entries = nullptr;
  SplitRule rule;
  if (!options.entries.empty() || options.hold_out != 0) {
    entries = &entry_formats().at(options.entries.empty() ? "paragraphs" : options.entries);
    rule = SplitRule::every(options.hold_out == 0 ? kDefaultHoldOut : options.hold_out);
  } else if (!options.split.empty()) {
    rule = SplitRule::parse(options.split);
  }
  if (options.field.chat && entries && !entries->of_documents) {
    raise<UsageError>("conversations are documents and are not cut into {}; use --entries documents", entries->name);
  }
  const TextInputOptions reading{.field = options.field,
                                 .documents = entries && entries->of_documents,
                                 .deduplicate = options.deduplicate,
                                 .copies = folder_beside(options.output),
                                 .progress = &progress};
  Plan plan{TextInput(options.inputs, reading), entries, rule, {}};
  const bool standard = is_standard(plan.input);
  if (standard && options.split.empty() && !entries) {
    plan.rule = SplitRule::parse("90M/5M/5M");
    log::info("{}: using the standard split, 90M / 5M / 5M", plan.input.paths()[0]);
  }
  if (rule.kind != SplitRule::Kind::hold_out) plan.sizes = plan.rule.sizes(plan.input.total_bytes());
  if (const int64_t unused = plan.input.total_bytes() - plan.sizes[0] - plan.sizes[1] - plan.sizes[2];
      plan.rule.kind == SplitRule::Kind::counts && unused > 0) {
    log::warn("the split {} leaves the last {} of {} bytes unused", plan.rule.to_string(), unused,
              plan.input.total_bytes());
  }
  if (standard && plan.sizes != kStandardSplit) {
    log::warn("{}: not the standard split 90M / 5M / 5M: results will not be comparable", plan.input.paths()[0]);
  }
  return plan;
}

Json describe_file(const std::string& path) {
  std::vector<char> block(size_t{1} << 20);
  ContentHash hash;
  PosixFile file = PosixFile::open(path);
  while (const int64_t count = file.read(block.data(), static_cast<int64_t>(block.size()))) {
    hash.update(block.data(), count);
  }
  return {{"file", std::filesystem::path(path).filename().string()},
          {"bytes", file.size()},
          {"xxh64", format_hash(hash.value())}};
}

Json describe_files(const std::vector<std::string>& paths) {
  Json files = Json::array();
  for (const std::string& path : paths) files.push_back(describe_file(path));
  return files;
}

// The files of a vocabulary that another program made: the file itself, or all files of its folder. The folder of a
// tokenizer.json may hold a whole model, which is not a part of the tokenizer.
std::vector<std::string> vocabulary_files(const std::string& tokenizer, const std::string& path) {
  namespace fs = std::filesystem;
  if (tokenizer == "trained") return {trained_tokenizer_file(path)};
  if (!fs::is_directory(path)) return {path};
  if (tokenizer == PipelineTokenizer::kName) return {PipelineTokenizer::file_of(path)};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Json describe_source(const PreparationOptions& options, const Plan& plan) {
  Json source = {
      {"inputs", plan.input.description()}, {"tokenizer", options.tokenizer}, {"split", plan.rule.to_string()}};
  if (options.vocabulary.min_count != 1) source["min_count"] = options.vocabulary.min_count;
  if (options.vocabulary.vocab_size != 0) source["vocab_size"] = options.vocabulary.vocab_size;
  if (const std::string& vocabulary = options.vocabulary.vocabulary; std::filesystem::exists(vocabulary))
    source["vocabulary"] = describe_files(vocabulary_files(options.tokenizer, vocabulary));
  if (!options.vocabulary.pattern.empty()) source["pattern"] = options.vocabulary.pattern;
  if (options.end_of_document) source["end_of_document"] = true;
  if (plan.entries) source["entries"] = plan.entries->name;
  if (options.deduplicate) source["deduplicate"] = true;
  return source;
}

std::unique_ptr<Tokenizer> make_tokenizer(const PreparationOptions& options, const Plan& plan,
                                          PreparationProgress& progress) {
  const TokenizerEntry& entry = tokenizers().at(options.tokenizer);
  const TrainingText training_text = [&](const TextVisitor& visit) {
    progress.begin("learning the vocabulary", plan.input.total_bytes());
    visit_pieces(plan, [&](const DocumentWriter::Piece& piece) {
      std::string_view text = piece.split == 0 ? piece.text : std::string_view();
      while (options.field.chat && !text.empty()) {  // the marks of replies are no text
        const std::string_view part = text.substr(0, text.find_first_of(kReplyMarks));
        if (!part.empty()) visit(part);
        text.remove_prefix(std::min(text.size(), part.size() + 1));
      }
      if (!text.empty()) visit(text);
      progress.set(piece.offset + std::ssize(piece.text));
    });
  };
  return entry.make(training_text, options.vocabulary);
}

// The token ids that follow every document.
std::vector<int32_t> end_of_document(const PreparationOptions& options, const Tokenizer& tokenizer) {
  if (!options.end_of_document) return {};
  const auto mark = tokenizer.end_of_document();
  if (!mark) raise<UsageError>("the tokenizer '{}' has no end-of-document token", tokenizer.name());
  return {*mark};
}

// Reports which documents of the held-out splits occur in the training split: what is measured on them is no
// measure of new text.
void report_held_out(const DocumentWriter& documents, CorpusFolderWriter& folder) {
  constexpr double kDoubtful = 0.01;
  for (int split = 1; split < 3; ++split) {
    const DocumentCounts counts = documents.counts(split);
    folder.set_counts(split, counts);
    if (counts.in_training == 0) continue;
    const double share = static_cast<double>(counts.in_training) / static_cast<double>(counts.all);
    const std::string text = fmt::format("{}: {} of {} documents ({:.3g} %) occur in the training split",
                                         kSplitNames[as_index(split)], counts.in_training, counts.all, 100 * share);
    if (share < kDoubtful) {
      log::info("{}", text);
    } else {
      log::warn("{}; --deduplicate leaves out all but the first of equal documents", text);
    }
  }
}

void check_folder_option(const std::string& output) {
  if (output.empty()) raise<UsageError>("no output folder given");
}

}  // namespace

bool prepare_corpus(PreparationOptions options) {
  check_folder_option(options.output);
  options.tokenizer = find_tokenizer(options.tokenizer, options.vocabulary).name;  // before any long work
  PreparationProgress progress;
  const Plan plan = make_plan(options, progress);
  progress.clear();
  if (plan.input.duplicates() > 0) {
    log::info("left out {} documents ({} of text) that occur before with the same text; {} documents remain",
              plan.input.duplicates(), format_bytes(static_cast<double>(plan.input.duplicate_bytes())),
              plan.input.total_documents());
  }
  CorpusFolderWriter folder(options.output, describe_source(options, plan), options.force);
  if (folder.already_prepared()) return false;

  std::unique_ptr<Tokenizer> tokenizer = folder.take_interrupted();
  if (!tokenizer) tokenizer = make_tokenizer(options, plan, progress);
  DocumentWriter documents(folder, end_of_document(options, *tokenizer));
  folder.set_sources(plan.input.source_names());
  if (options.field.chat) folder.set_chats();
  folder.begin(std::move(tokenizer));
  std::array<std::optional<int64_t>, 3> raw_bytes;
  progress.begin("encoding", plan.input.total_bytes());
  visit_pieces(plan, [&](const DocumentWriter::Piece& piece) {
    documents.add(piece);
    progress.set(piece.offset + std::ssize(piece.text));
  });
  documents.finish();
  report_held_out(documents, folder);
  for (int split = 0; split < 3; ++split) raw_bytes[as_index(split)] = documents.bytes(split);
  progress.clear();
  for (size_t i = 0; i < 3; ++i) {
    if (plan.rule.kind == SplitRule::Kind::hold_out && *raw_bytes[i] == 0) {
      raise<DataError>("{}: too few entries to hold out {}", plan.input.paths().front(), plan.rule.to_string());
    }
  }
  const std::string folder_name =
      std::filesystem::path(options.output + "/").lexically_normal().parent_path().filename();
  folder.finish(options.name.empty() ? folder_name : options.name, raw_bytes, std::nullopt);
  return true;
}

bool prepare_synthetic(const SyntheticConfig& config, const std::string& output, bool force) {
  check_folder_option(output);
  CorpusFolderWriter folder(output, {{"synthetic", to_json(config)}}, force);
  if (folder.already_prepared()) return false;
  const Corpus corpus = Corpus::synthetic(config);
  folder.begin(std::make_unique<ExternalTokenizer>(config.states), /*of_text=*/false);
  constexpr int64_t kBlockTokens = 1 << 16;
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < kSplitNames.size(); ++i) {
    if (!corpus.has_split(kSplitNames[i])) continue;
    const Split& split = corpus.split(kSplitNames[i]);
    for (int64_t begin = 0; begin < split.num_tokens(); begin += kBlockTokens) {
      tokens.resize(static_cast<size_t>(std::min(kBlockTokens, split.num_tokens() - begin)));
      split.read(begin, static_cast<int64_t>(tokens.size()), tokens.data());
      folder.write(static_cast<int>(i), tokens);
    }
  }
  folder.finish("synthetic", {}, corpus.entropy_rate());
  return true;
}

}  // namespace moe
