#include "data/texts/text_corpus.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "data/chosen_classes.h"
#include "data/content_hash.h"
#include "data/find_split.h"
#include "data/held_out.h"
#include "data/texts/clean.h"
#include "data/texts/text_format.h"

namespace moe {

namespace fs = std::filesystem;

LabelledTexts::LabelledTexts(std::string name, std::shared_ptr<const TextSet> set, std::vector<int64_t> members,
                             const LabelledDataConfig& config, const Tokenizer& tokenizer, int64_t longest)
    : name_(std::move(name)), set_(std::move(set)), members_(std::move(members)) {
  const TextCleaning& cleaning = text_cleanings().at(config.clean);
  const bool may_not_know = !tokenizer.bytes_by_id().has_value();
  std::vector<int32_t> ids;
  ends_.reserve(members_.size());
  for (int64_t i = 0; i < size(); ++i) {
    ids.clear();
    try {
      if (may_not_know) {
        TokenMeasures measures;
        tokenizer.encode(cleaning.clean(text(i)), ids, measures);
        for (const int32_t bytes : measures.unknown) unknown_.bytes += bytes, unknown_.tokens += bytes > 0;
      } else {
        tokenizer.encode(cleaning.clean(text(i)), ids);
      }
    } catch (const DataError& error) {
      raise<DataError>(
          "text {} of the {} split, '{}': {}. The {} tokenizer covers only the text it was made from; "
          "data.labelled.clean: "
          "text8 reduces texts to letters and blanks",
          i + 1, name_, text(i).substr(0, 40), error.what(), tokenizer.name());
    }
    const int64_t all = std::ssize(ids), kept = std::min(all, longest);
    const auto first = ids.begin() + (config.keep == "end" ? all - kept : 0);
    tokens_.insert(tokens_.end(), first, first + kept);
    ends_.push_back(std::ssize(tokens_));
    longest_ = std::max(longest_, kept);
    num_cut_ += kept < all;
    num_encoded_ += all;
  }
}

uint64_t LabelledTexts::content_hash() const {
  ContentHash hash;
  const int64_t count = size();
  hash.update(&count, sizeof count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head[] = {label(i), static_cast<int64_t>(text(i).size())};
    hash.update(head, sizeof head);
    hash.update(text(i).data(), std::ssize(text(i)));
  }
  return hash.value();
}

// Leaves only the classes in `chosen`, if there are any.
static TextFiles with_classes(const std::string& name, TextFiles files, const std::vector<std::string>& chosen) {
  if (chosen.empty()) return files;
  const std::vector<int32_t> numbers = chosen_numbers(name, files.classes, chosen);
  for (TextSet* set : {&files.train, &files.validation, &files.test}) {
    TextSet kept;
    for (int64_t i = 0; i < set->size(); ++i) {
      if (const int32_t number = numbers[as_index(set->label(i))]; number >= 0) kept.add(set->text(i), number);
    }
    *set = std::move(kept);
  }
  files.classes = chosen;
  return files;
}

TextCorpus TextCorpus::open(const std::string& path, const std::string& format, Setup setup) {
  fs::path folder = fs::absolute(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  std::string name = folder.filename().string();
  TextFiles files = with_classes(name, text_formats().at(format).read(path), setup.config.classes);
  return {std::move(name), std::move(files), std::move(setup)};
}

static ClassCounts count_classes(std::vector<std::string> names, const TextSet& set) {
  ClassCounts classes{std::move(names), {}};
  classes.counts.resize(classes.names.size());
  for (int64_t i = 0; i < set.size(); ++i) ++classes.counts[as_index(set.label(i))];
  if (set.size() > 0) classes.first = set.label(0);
  return classes;
}

// Makes the configured tokenizer from the cleaned training texts.
static std::unique_ptr<Tokenizer> make_tokenizer(const TextSet& set, const std::vector<int64_t>& members,
                                                 const LabelledDataConfig& config) {
  const TextCleaning& cleaning = text_cleanings().at(config.clean);
  const TrainingText visit_all = [&](const TextVisitor& visit) {
    for (const int64_t i : members) visit(cleaning.clean(set.text(i)) + "\n");
  };
  TokenizerOptions options{config.min_count, config.vocabulary, config.vocab_size, config.pattern};
  return find_tokenizer(config.tokenizer, options).make(visit_all, options);
}

TextCorpus::TextCorpus(std::string name, TextFiles files, Setup setup)
    : name_(std::move(name)),
      classes_(count_classes(std::move(files.classes), files.train)),
      tokenizer_(std::move(setup.tokenizer)) {
  const auto train = std::make_shared<const TextSet>(std::move(files.train)),
             validation = std::make_shared<const TextSet>(std::move(files.validation)),
             test = std::make_shared<const TextSet>(std::move(files.test));
  for (const auto& set : {train, validation, test}) raw_bytes_ += set->memory_bytes();
  const auto whole = [](const TextSet& set) {
    std::vector<int64_t> all(static_cast<size_t>(set.size()));
    std::iota(all.begin(), all.end(), int64_t{0});
    return all;
  };
  HeldOut parts{whole(*train), {}};
  if (validation->size() == 0) parts = hold_out(train->size(), setup.config.validation, setup.config.split_seed);
  if (!tokenizer_) tokenizer_ = make_tokenizer(*train, parts.train, setup.config);
  const auto add = [&](const char* split, const std::shared_ptr<const TextSet>& set, std::vector<int64_t> members) {
    if (members.empty()) return;
    splits_.emplace_back(split, set, std::move(members), setup.config, *tokenizer_, setup.longest);
  };
  add("train", train, std::move(parts.train));
  add("validation", validation->size() > 0 ? validation : train,
      validation->size() > 0 ? whole(*validation) : std::move(parts.validation));
  add("test", test, whole(*test));
}

bool TextCorpus::has_split(std::string_view name) const {
  return find_split(splits_, name) != nullptr;
}

const LabelledTexts& TextCorpus::split(std::string_view name) const {
  return split_named(name_, splits_, name);
}

int64_t TextCorpus::memory_bytes() const {
  int64_t bytes = raw_bytes_;
  for (const LabelledTexts& split : splits_) bytes += split.memory_bytes();
  return bytes;
}

}  // namespace moe
