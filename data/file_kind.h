// Recognises by its content what a file is that was given as text and is none.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // of UTF-8

// The text without a byte order mark at its start.
std::string_view without_mark(std::string_view text);

// Checks that an input is text, block by block. UTF-8 is not required: any encoding passes that has ASCII's control
// characters where ASCII has them, such as Latin-1.
class TextCheck {
 public:
  // `name`: of the input, for errors.
  explicit TextCheck(std::string name) : name_(std::move(name)) {}

  // The input's first bytes, as many as there are up to kTextSample. Throws DataError, with a hint at what to do, for a
  // known kind of file that is not text, and for a NUL or too many control characters.
  void begin(std::string_view sample) const;
  // All bytes of the input, in order, those of the sample too.
  void add(std::string_view text);
  // Throws DataError when more than one in a hundred bytes were control characters.
  void end() const;

 private:
  std::string name_;
  int64_t bytes_ = 0, controls_ = 0;
};
constexpr int64_t kTextSample = 1 << 16;

// A whole file as text: unpacked, checked by TextCheck, without a byte order mark. Throws DataError.
std::string read_text_input(const std::string& path);

}  // namespace moe
