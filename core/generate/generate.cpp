#include "core/generate/generate.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/philox.h"

namespace moe {

const char* name_of(TextEnd end) {
  constexpr const char* kNames[] = {"length", "end_token", "stop", "context", "interrupted"};
  return kNames[static_cast<size_t>(end)];
}

static GenerateOptions checked(const TrainingState& state, const GenerateOptions& options) {
  const std::optional<int64_t> learned = state.model->backbone().learned_positions();
  if (learned && options.reader.context > *learned) {
    raise<UsageError>(
        "a context of {} tokens: the model has learned {} positions (model.attention.position: learned); use at most "
        "that",
        options.reader.context, *learned);
  }
  return options;
}

TextWriter::TextWriter(TrainingState& state, const GenerateOptions& options)
    : state_(state),
      options_(checked(state, options)),
      has_memory_(state.model->memory_shape()),
      reader_(state, options_.reader) {}

bool TextWriter::has_room(WrittenText& text) const {
  const int64_t size = std::ssize(text.tokens) - text.begin, context = options_.reader.context;
  if (has_memory_ || size <= context) return true;
  if (!options_.slides) return false;
  // A text that was never read is a long prompt, of which all that fits is used.
  const int64_t kept = text.known == 0 && text.drawn == 0 ? context : std::max<int64_t>(context / 2, 1);
  text.begin = std::ssize(text.tokens) - kept;
  text.known = 0;
  return true;
}

bool TextWriter::add_token(Row& row, int32_t token, const TokenVisitor& visit) {
  WrittenText& text = *row.text;
  if (token == options_.end) {
    text.end = TextEnd::end_token;
    return false;
  }
  text.tokens.push_back(token);
  ++text.drawn;
  if (visit && !visit(row.index, token)) {
    text.end = TextEnd::visitor;
    return false;
  }
  text.end = TextEnd::length;
  if (text.drawn >= row.last) return false;
  if (has_room(text)) return true;
  text.end = TextEnd::context;
  return false;
}

void TextWriter::step(std::vector<Row>& rows, const TokenVisitor& visit) {
  std::vector<ModelReader::Unread> unread;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].text) continue;
    const WrittenText& text = *rows[i].text;
    unread.push_back({.row = static_cast<int64_t>(i),
                      .tokens = std::span(text.tokens).subspan(static_cast<size_t>(text.begin)),
                      .known = text.known,
                      .text = static_cast<int64_t>(rows[i].index),
                      .first = text.begin});
  }
  const std::span<const float> logits = reader_.read(unread);
  const auto width = static_cast<size_t>(reader_.logits_width());
  for (size_t i = 0; i < unread.size(); ++i) {
    Row& row = rows[static_cast<size_t>(unread[i].row)];
    WrittenText& text = *row.text;
    text.known = std::ssize(unread[i].tokens);
    const RandomKey key{options_.seed, RandomPurpose::generation, text.stream, 0};
    const int32_t token = sampler_.draw(logits.subspan(i * width, width), state_.model->vocab(), options_.sampling,
                                        unread[i].tokens, key.uniform(static_cast<uint64_t>(text.drawn)));
    if (!add_token(row, token, visit)) row.text = nullptr;
  }
}

void TextWriter::begin_texts(std::span<WrittenText> texts, size_t& next, std::vector<Row>& rows) const {
  for (Row& row : rows) {
    for (; !row.text && next < texts.size(); ++next) {
      WrittenText& text = texts[next];
      MOE_CHECK(!text.tokens.empty(), "text {} has no token to begin with", next);
      if (options_.tokens <= 0) continue;
      if (!has_room(text)) {
        raise<DataError>("a prompt of {} tokens does not fit in the context of {}", text.tokens.size(),
                         options_.reader.context);
      }
      row = {&text, next, text.drawn + options_.tokens};
    }
  }
}

void TextWriter::write(std::span<WrittenText> texts, const TokenVisitor& visit) {
  for (WrittenText& text : texts) text.begin = text.known = 0;
  std::vector<Row> rows(static_cast<size_t>(options_.reader.rows));
  size_t next = 0;
  while (true) {
    begin_texts(texts, next, rows);
    const bool works = std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.text != nullptr; });
    if (!works) return;
    if (options_.stop && options_.stop()) {
      for (const Row& row : rows)
        if (row.text) row.text->end = TextEnd::interrupted;
      for (; next < texts.size(); ++next) texts[next].end = TextEnd::interrupted;
      return;
    }
    step(rows, visit);
  }
}

void TextWriter::write_on(WrittenText& text, const TokenVisitor& visit) {
  std::vector<Row> rows(1);
  size_t next = 0;
  begin_texts({&text, 1}, next, rows);
  while (rows[0].text) {
    if (options_.stop && options_.stop()) {
      text.end = TextEnd::interrupted;
      return;
    }
    step(rows, visit);
  }
}

std::vector<int32_t> generate(TrainingState& state, const std::vector<int32_t>& prompt,
                              const GenerateOptions& options) {
  WrittenText text{.tokens = prompt};
  TextWriter(state, options).write_on(text);
  return {text.tokens.begin() + std::ssize(prompt), text.tokens.end()};
}

}  // namespace moe
