#include "data/tokenizers/pipeline/pipeline_tokenizer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "data/posix_file.h"
#include "data/tokenizers/pipeline/options.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFileName = "tokenizer.json";
constexpr const char* kBlankMark = "\xE2\x96\x81";  // U+2581, which stands for a blank in pieces of SentencePiece

// What published tokenizers call the mark that ends a document.
constexpr std::array kEnds = {"<|endoftext|>",
                              "<|end_of_text|>",
                              "</s>",
                              "<eos>",
                              "<|im_end|>",
                              "<\xEF\xBD\x9C"
                              "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
                              "[SEP]"};

}  // namespace

struct PipelineTokenizer::Unit {
  Word word;
  std::optional<int32_t> token;  // found in the text or a byte that is not UTF-8; otherwise the model cuts the word
  bool unknown = false;          // the unknown token in place of a byte
};

struct PipelineTokenizer::Units {
  std::deque<Words> owners;  // of the words' texts
  std::deque<AlignedText> texts;
  std::vector<Unit> all;

  void add_token(const AlignedText& text, size_t begin, size_t end, int32_t token) {
    AlignedText& own = texts.emplace_back(AlignedText::in_place_of(AlignedText({}, text.end_of(begin))));
    own.append(text, begin, end);
    all.push_back({{&own, 0, end - begin, /*begins_group=*/false}, token});
  }
};

PipelineTokenizer::PipelineTokenizer(Json file) : file_(std::move(file)) {
  require_icu();
  added_ = read_added_tokens(member_or_null(file_, "added_tokens"));
  normalizer_ = TextNormalizer(member_or_null(file_, "normalizer"));
  pre_tokenizer_ = PreTokenizer(member_or_null(file_, "pre_tokenizer"));
  vocabulary_ = std::make_unique<PieceVocabulary>(file_.at("model"), pre_tokenizer_.byte_level());
  model_ = make_subword_model(file_.at("model"), *vocabulary_);
  in_text_ = AddedTokenFinder(added_, false, normalizer_);
  in_normalised_text_ = AddedTokenFinder(added_, true, normalizer_);
  if (!pre_tokenizer_.byte_level() && model_->may_cut_before(kBlankMark)) cut_before_ = kBlankMark;
  decode_vocabulary();
}

void PipelineTokenizer::decode_vocabulary() {
  const PieceDecoder decoder(member_or_null(file_, "decoder"));
  decoded_.resize(static_cast<size_t>(vocabulary_->size()));
  for (size_t id = 0; id < decoded_.size(); ++id)
    decoded_[id] = decoder.decode(vocabulary_->piece(static_cast<int32_t>(id)));
  if (const auto unknown = model_->unknown()) decoded_[as_index(*unknown)] = "\xEF\xBF\xBD";  // U+FFFD
  for (const AddedToken& token : added_) {
    decoded_.resize(std::max(decoded_.size(), as_index(token.id) + 1));
    if (model_->unknown() != token.id) decoded_[as_index(token.id)] = token.special ? "" : token.content;
  }
  for (const char* name : kEnds) {
    const auto found = std::find_if(added_.begin(), added_.end(),
                                    [&](const AddedToken& token) { return token.special && token.content == name; });
    if (found == added_.end()) continue;
    end_of_document_ = found->id;
    break;
  }
  const Units probe = units_of("a", {});
  const std::string first = probe.all.empty() ? "" : decoder.decode(std::string(probe.all.front().word.text()));
  drops_first_blank_ = first.starts_with(' ');
}

std::unique_ptr<Tokenizer> PipelineTokenizer::from_json(const Json& description) {
  return std::make_unique<PipelineTokenizer>(description.at("file"));
}

std::unique_ptr<Tokenizer> PipelineTokenizer::make(const TrainingText&, const TokenizerOptions& options) {
  refuse_foreign(options, "huggingface", "vocabulary");
  if (options.vocabulary.empty()) throw UsageError("the tokenizer 'huggingface' needs a tokenizer.json");
  return naming(options.vocabulary, [&] {
    try {
      return std::make_unique<PipelineTokenizer>(parse_json(read_text_file(file_of(options.vocabulary))));
    } catch (const JsonError& error) {
      throw DataError(error.what());
    }
  });
}

std::string PipelineTokenizer::file_of(const std::string& path) {
  return fs::is_directory(path) ? path + "/" + kFileName : path;
}

bool PipelineTokenizer::is_vocabulary(const std::string& path) {
  const std::string file = file_of(path);
  if (!fs::is_regular_file(file)) return false;
  char first = 0;
  if (PosixFile::open(file).read(&first, 1) != 1 || first != '{') return false;
  try {
    const Json json = parse_json(read_text_file(file));
    const Json* model = json.find("model");
    return model && model->contains("vocab");
  } catch (const JsonError&) {
    return false;
  }
}

Json PipelineTokenizer::to_json() const {
  return {{"name", name()}, {"file", file_}};
}

std::optional<std::vector<int32_t>> PipelineTokenizer::bytes_by_id() const {
  bool fixed = pre_tokenizer_.byte_level() && pre_tokenizer_.keeps_text() && !normalizer_.changes_text();
  for (int byte = 0; byte < 256; ++byte) fixed = fixed && model_->token_of_byte(static_cast<unsigned char>(byte));
  for (const AddedToken& token : added_) fixed = fixed && (token.special || !(token.lstrip || token.rstrip));
  if (!fixed) return std::nullopt;
  std::vector<int32_t> lengths;
  for (const std::string& bytes : decoded_) lengths.push_back(static_cast<int32_t>(bytes.size()));
  return lengths;
}

void PipelineTokenizer::add_words(AlignedText text, bool continues, Units& units) const {
  if (text.text().empty()) return;
  Words& words = units.owners.emplace_back();
  words.continues = continues;
  const AlignedText& source = words.texts.emplace_back(std::move(text));
  words.all.push_back({&source, 0, source.text().size(), true});
  pre_tokenizer_.apply(words);
  // The beginning of a text, and of what follows a token, has its own rules for blanks: no part may begin there.
  if (!words.all.empty()) words.all.front().begins_group = false;
  for (Word& word : words.all) {
    const std::string_view whole = word.text();
    size_t begin = 0;
    const auto add = [&](size_t end) {
      const size_t from = word.begin + begin;
      const bool first = begin == 0 ? word.begins_group : word.is_between_characters(from);
      units.all.push_back({{word.source, from, word.begin + end, first}, std::nullopt});
      begin = end;
    };
    if (!cut_before_.empty()) {
      for (size_t at = whole.find(cut_before_); at != whole.npos; at = whole.find(cut_before_, at + 1)) {
        if (at > begin && !whole.substr(0, at).ends_with(cut_before_)) add(at);
      }
    }
    if (begin < whole.size()) add(whole.size());
  }
}

// `text`: valid UTF-8 at byte `origin` of the whole.
void PipelineTokenizer::add_text(std::string_view text, size_t origin, bool continues, Units& units) const {
  const AlignedText whole(text, origin);
  in_text_.cut(text, [&](size_t begin, size_t end, const AddedToken* token) {
    if (token) {
      units.add_token(whole, begin, end, token->id);
      return;
    }
    const bool follows = continues && begin == 0;
    const AlignedText part = normalizer_.apply(AlignedText(text.substr(begin, end - begin), origin + begin), follows);
    in_normalised_text_.cut(part.text(), [&](size_t from, size_t to, const AddedToken* found) {
      if (found) {
        units.add_token(part, from, to, found->id);
      } else if (from == 0 && to == part.text().size()) {
        add_words(part, follows, units);
      } else {
        AlignedText between = AlignedText::in_place_of(AlignedText({}, part.end_of(from)));
        between.append(part, from, to);
        add_words(std::move(between), follows && from == 0, units);
      }
    });
  });
}

PipelineTokenizer::Units PipelineTokenizer::units_of(std::string_view text, const TextPart& part) const {
  Units units;
  size_t begin = 0, at = 0;
  const auto flush = [&] {
    if (at > begin) add_text(text.substr(begin, at - begin), begin, part.continues && begin == 0, units);
  };
  while (at < text.size()) {
    if (const size_t length = static_cast<unsigned char>(text[at]) < 0x80 ? 1 : utf8_length(text.substr(at))) {
      at += length;
      continue;
    }
    flush();
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto own = model_->token_of_byte(byte), id = own ? own : model_->unknown();
    if (!id) {
      raise<DataError>("byte 0x{:02x} at offset {} is not UTF-8, and this tokenizer has no tokens for bytes", byte,
                       part.offset + static_cast<int64_t>(at));
    }
    units.add_token(AlignedText(text.substr(at, 1), at), 0, 1, *id);
    units.all.back().unknown = !own;
    begin = ++at;
  }
  flush();
  return units;
}

std::unique_ptr<WordCache> PipelineTokenizer::take_cache() const {
  const std::lock_guard lock(mutex_);
  if (caches_.empty()) return std::make_unique<WordCache>();
  std::unique_ptr<WordCache> cache = std::move(caches_.back());
  caches_.pop_back();
  return cache;
}

// Appends the tokens of units, with their measures if they are wanted.
class PipelineTokenizer::Encoding {
 public:
  Encoding(const PipelineTokenizer& tokenizer, std::vector<int32_t>& ids, TokenMeasures* measures)
      : tokenizer_(tokenizer), ids_(ids), measures_(measures), cache_(tokenizer.take_cache()) {}
  ~Encoding() {
    const std::lock_guard lock(tokenizer_.mutex_);
    tokenizer_.caches_.push_back(std::move(cache_));
  }
  size_t done() const { return done_; }

  void add(const Unit& unit) {
    const Word& word = unit.word;
    if (unit.token) {
      add_token(*unit.token, unit.unknown, word, word.end);
      return;
    }
    const std::string_view text = word.text();
    if (text.size() <= WordCache::kLongestWord) {
      add_parts(cache_->find(text, [&](std::vector<TokenPart>& parts) { tokenizer_.model_->encode(text, parts); }),
                word);
    } else {
      std::vector<TokenPart> parts;
      tokenizer_.model_->encode(text, parts);
      add_parts(parts, word);
    }
  }

 private:
  void add_parts(std::span<const TokenPart> parts, const Word& word) {
    size_t at = word.begin;
    for (const TokenPart& part : parts) {
      at += static_cast<size_t>(part.bytes);
      add_token(part.id, part.unknown, word, at);
    }
  }
  // `end`: where in the word's source the token ends.
  void add_token(int32_t id, bool unknown, const Word& word, size_t end) {
    ids_.push_back(id);
    if (!measures_) return;
    const size_t to = std::max(done_, word.source->end_of(end));
    measures_->lengths.push_back(static_cast<int32_t>(to - done_));
    const size_t from = std::max(done_, word.source->end_of(word.begin));
    measures_->unknown.push_back(unknown ? static_cast<int32_t>(to - std::min(to, from)) : 0);
    done_ = to;
  }

  const PipelineTokenizer& tokenizer_;
  std::vector<int32_t>& ids_;
  TokenMeasures* measures_;
  std::unique_ptr<WordCache> cache_;
  size_t done_ = 0;  // bytes of the original text that tokens stand for
};

// How many words before the end of a part are left to the next one: expressions look at most a few words ahead.
static constexpr int kLookahead = 8;

// How many of the units may be encoded when other text follows.
size_t PipelineTokenizer::decided(const Units& units) {
  size_t count = units.all.size();
  for (int groups = 0; count > 0 && groups < kLookahead;) groups += units.all[--count].word.begins_group;
  return count;
}

// The place of the text at which a word begins.
static size_t place_of(const Word& word) {
  return word.source->end_of(word.begin);
}

EncodedPart PipelineTokenizer::encode_units(const Units& units, size_t count, std::string_view text, size_t bytes,
                                            int64_t offset, std::vector<int32_t>& ids, TokenMeasures* measures) const {
  const size_t old_ids = ids.size();
  Encoding encoding(*this, ids, measures);
  for (size_t i = 0; i < count; ++i) {
    try {
      encoding.add(units.all[i]);
    } catch (const NoToken& place) {
      ids.resize(old_ids);
      const Word& word = units.all[i].word;
      const size_t at = word.source->end_of(word.begin + place.at);
      raise<DataError>("byte 0x{:02x} at offset {} begins a character that this tokenizer has no token for",
                       static_cast<unsigned char>(at < text.size() ? text[at] : 0), offset + static_cast<int64_t>(at));
    }
  }
  return {bytes, measures ? static_cast<int64_t>(bytes - std::min(bytes, encoding.done())) : 0};
}

EncodedPart PipelineTokenizer::encode_alone(std::string_view text, const TextPart& part, std::vector<int32_t>& ids,
                                            TokenMeasures* measures) const {
  const Units units = units_of(text, part);
  if (part.ends) return encode_units(units, units.all.size(), text, text.size(), part.offset, ids, measures);
  const size_t count = decided(units);
  const size_t bytes = count == 0 ? 0 : place_of(units.all[count].word);
  return encode_units(units, count, text, bytes, part.offset, ids, measures);
}

// A slice of a text, for one thread.
struct PipelineTokenizer::Slice {
  size_t begin = 0, end = 0;
  std::vector<int32_t> ids;
  TokenMeasures measures;
  EncodedPart done;
  bool is_exact = false;  // it ends where a word begins, whatever follows
};

void PipelineTokenizer::encode_slice(std::string_view text, const TextPart& part, Slice& slice, bool measured) const {
  constexpr size_t kMore = 4096;  // bytes behind the slice, which show how its end is cut
  const bool is_last = slice.end == text.size();
  const size_t end = std::min(text.size(), slice.end + kMore);
  const TextPart own{.continues = part.continues || slice.begin > 0,
                     .ends = is_last && part.ends,
                     .offset = part.offset + static_cast<int64_t>(slice.begin)};
  const std::string_view seen = text.substr(slice.begin, end - slice.begin);
  TokenMeasures* const measures = measured ? &slice.measures : nullptr;
  if (is_last) {
    slice.done = encode_alone(seen, own, slice.ids, measures);
    slice.is_exact = true;
    return;
  }
  const Units units = units_of(seen, own);
  const size_t wanted = slice.end - slice.begin, certain = decided(units);
  const auto first = std::partition_point(units.all.begin(), units.all.begin() + static_cast<std::ptrdiff_t>(certain),
                                          [&](const Unit& unit) { return place_of(unit.word) < wanted; });
  const auto count = static_cast<size_t>(first - units.all.begin());
  if (count >= certain || !first->word.begins_group) return;
  // Nothing crosses the place: what lies between two words is blanks that the tokenizer drops.
  if (count > 0 && (first - 1)->word.source->end_of((first - 1)->word.end) > wanted) return;
  slice.done = encode_units(units, count, seen, wanted, own.offset, slice.ids, measures);
  slice.is_exact = true;
}

// Slices of about the same size that begin with a blank between letters, where most rules begin a word.
std::vector<PipelineTokenizer::Slice> PipelineTokenizer::slices_of(std::string_view text) {
  constexpr size_t kSlice = size_t{1} << 16, kSearched = 2048;
  std::vector<Slice> slices(1);
  const auto is_letter = [&](size_t i) { return std::isalpha(static_cast<unsigned char>(text[i])) != 0; };
  for (size_t at = kSlice; at + kSlice < text.size(); at += kSlice) {
    for (size_t i = at; i < at + kSearched; ++i) {
      if (text[i] != ' ' || !is_letter(i - 1) || !is_letter(i + 1)) continue;
      slices.back().end = i;
      slices.emplace_back().begin = i;
      break;
    }
  }
  slices.back().end = text.size();
  return slices;
}

// Slices are encoded by all threads, if each ends where a word begins; so the ids do not depend on the slices.
EncodedPart PipelineTokenizer::encode_part(std::string_view text, const TextPart& part, std::vector<int32_t>& ids,
                                           TokenMeasures* measures) const {
  std::vector<Slice> slices = slices_of(text);
  if (slices.size() == 1) return encode_alone(text, part, ids, measures);
  bool are_exact = true;
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : are_exact)
  for (int64_t i = 0; i < std::ssize(slices); ++i) {
    try {
      encode_slice(text, part, slices[as_index(i)], measures != nullptr);
    } catch (const Error&) {
      slices[as_index(i)].is_exact = false;  // reported by the encoding below
    }
    are_exact = are_exact && slices[as_index(i)].is_exact;
  }
  if (!are_exact) return encode_alone(text, part, ids, measures);
  int64_t uncovered = 0;
  for (Slice& slice : slices) {
    ids.insert(ids.end(), slice.ids.begin(), slice.ids.end());
    if (measures && !slice.ids.empty()) {
      slice.measures.lengths.front() += static_cast<int32_t>(std::exchange(uncovered, 0));
      measures->lengths.insert(measures->lengths.end(), slice.measures.lengths.begin(), slice.measures.lengths.end());
      measures->unknown.insert(measures->unknown.end(), slice.measures.unknown.begin(), slice.measures.unknown.end());
    }
    uncovered += slice.done.uncovered;
  }
  return {slices.back().begin + slices.back().done.bytes, uncovered};
}

int64_t PipelineTokenizer::encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                                       TokenMeasures* measures) const {
  return encode_part(text, {.offset = text_offset}, ids, measures).uncovered;
}

void PipelineTokenizer::append_bytes(int32_t id, std::string& bytes) const {
  std::string_view text = decoded_[as_index(id)];
  if (drops_first_blank_ && bytes.empty() && text.starts_with(' ')) text.remove_prefix(1);
  bytes += text;
}

}  // namespace moe
