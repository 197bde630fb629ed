#include "core/convert/sentence_piece_model.h"

#include <cstring>
#include <string_view>

#include "core/base/check.h"

namespace moe {

namespace {

// A field of a protobuf message: its number, and its value as a number or as bytes.
struct Field {
  uint64_t number = 0, value = 0;
  std::string_view bytes{};
};

[[noreturn]] void refuse() {
  throw DataError("the SentencePiece model is damaged");
}

uint64_t varint(std::string_view& rest) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (rest.empty()) refuse();
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  refuse();
}

std::string_view take(std::string_view& rest, uint64_t count) {
  if (count > rest.size()) refuse();
  const std::string_view taken = rest.substr(0, count);
  rest.remove_prefix(count);
  return taken;
}

template <class Visit>
void for_each_field(std::string_view message, Visit visit) {
  while (!message.empty()) {
    const uint64_t tag = varint(message);
    Field field{.number = tag >> 3};
    switch (tag & 7) {
      case 0:
        field.value = varint(message);
        break;
      case 1:
        field.bytes = take(message, 8);
        break;
      case 2:
        field.bytes = take(message, varint(message));
        break;
      case 5:
        field.bytes = take(message, 4);
        break;
      default:
        refuse();
    }
    visit(field);
  }
}

SentencePiece read_piece(std::string_view message) {
  SentencePiece piece;
  for_each_field(message, [&](const Field& field) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2 && field.bytes.size() == sizeof(float)) {
      float score = 0;
      std::memcpy(&score, field.bytes.data(), sizeof score);
      piece.score = static_cast<double>(score);
    }
    if (field.number == 3) piece.kind = static_cast<SentencePiece::Kind>(field.value);
  });
  return piece;
}

}  // namespace

SentencePieceModel read_sentence_piece(const std::string& bytes) {
  SentencePieceModel model;
  for_each_field(bytes, [&](const Field& field) {
    if (field.number == 1) {
      model.pieces.push_back(read_piece(field.bytes));
      if (model.pieces.back().kind == SentencePiece::Kind::unknown)
        model.unknown = static_cast<int64_t>(model.pieces.size()) - 1;
    } else if (field.number == 2) {  // how it was trained
      for_each_field(field.bytes, [&](const Field& f) {
        if (f.number == 3) model.model_type = static_cast<int64_t>(f.value);
        if (f.number == 35) model.byte_fallback = f.value != 0;
      });
    } else if (field.number == 3) {  // how texts are normalised
      for_each_field(field.bytes, [&](const Field& f) {
        if (f.number == 2) model.rules = f.bytes;
        if (f.number == 3) model.dummy_prefix = f.value != 0;
        if (f.number == 4) model.remove_extra_blanks = f.value != 0;
        if (f.number == 5) model.escape_blanks = f.value != 0;
      });
    }
  });
  if (model.pieces.empty()) refuse();
  return model;
}

std::string SentencePieceModel::why_not_plain() const {
  if (model_type != 1) return "the SentencePiece model is not a unigram model";
  if (!rules.empty()) return "the SentencePiece model normalises the characters of a text";
  if (dummy_prefix) return "the SentencePiece model adds a blank at the start of each line";
  if (remove_extra_blanks) return "the SentencePiece model removes blanks";
  if (!escape_blanks) return "the SentencePiece model does not write blanks as U+2581";
  if (!byte_fallback) return "the SentencePiece model has an unknown token, which stands for whole runs of characters";
  for (const SentencePiece& piece : pieces) {
    if (piece.kind == SentencePiece::Kind::user_defined) return "the SentencePiece model has symbols of its user";
  }
  return {};
}

}  // namespace moe
