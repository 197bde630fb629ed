// The parts of a SentencePiece model's file that other programs' tokenizers need. The file is a protobuf message; this
// reads it without the library.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

inline constexpr const char* kSentencePieceBlank = "\xE2\x96\x81";  // U+2581 stands for a blank
inline constexpr double kNeverChosen = -1e6;                        // the score of a piece that matches no text

struct SentencePiece {
  enum class Kind { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  std::string text;
  double score = 0;
  Kind kind = Kind::normal;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;
  int64_t unknown = 0;     // the id of the piece for unknown text
  int64_t model_type = 1;  // 1: unigram, 2: byte pairs
  bool byte_fallback = false;
  std::string rules;  // the compiled normalisation; empty: none
  bool dummy_prefix = true, remove_extra_blanks = true, escape_blanks = true;

  // Why it is no unigram model that takes texts as they are; empty if it is.
  std::string why_not_plain() const;
};

// Throws DataError for bytes that are no such message.
SentencePieceModel read_sentence_piece(const std::string& bytes);

}  // namespace moe
