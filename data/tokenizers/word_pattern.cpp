#include "data/tokenizers/word_pattern.h"

#include "core/base/check.h"

#if MOE_HAS_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

namespace moe {

#if MOE_HAS_PCRE2

static constexpr const char* kPattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct WordPattern::Compiled {
  template <class T, void (*free)(T*)>
  struct Free {
    void operator()(T* pointer) const { free(pointer); }
  };
  std::unique_ptr<pcre2_code, Free<pcre2_code, pcre2_code_free>> code;
  using Match = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data, pcre2_match_data_free>>;
};

WordPattern::WordPattern() : compiled_(std::make_unique<Compiled>()) {
  int error = 0;
  PCRE2_SIZE place = 0;
  // With UCP \s matches all of Unicode's blanks, as GPT-2's rule requires.
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern), PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &place, nullptr));
  MOE_CHECK(compiled_->code, "PCRE2 rejects the word pattern at offset {}: error {}", place, error);
  // Without a JIT compiler for this machine, matching interprets the pattern.
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);
}

void WordPattern::for_each_word(std::string_view text, const std::function<void(std::string_view)>& visit) const {
  // Threads may cut texts at the same time.
  const Compiled::Match match(pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  MOE_CHECK(match, "PCRE2 cannot allocate memory for a match");
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;
  while (done < text.size()) {
    const int found = pcre2_match(compiled_->code.get(), subject, text.size(), done, 0, match.get(), nullptr);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
      raise<DataError>("PCRE2 cannot split a text into words: error {}", found);
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    const size_t begin = found < 0 ? text.size() : range[0];
    for (; done < begin; ++done) visit(text.substr(done, 1));
    if (found < 0) return;
    visit(text.substr(begin, range[1] - begin));
    done = range[1];
  }
}

#else

struct WordPattern::Compiled {};
WordPattern::WordPattern() {
  throw DataError("this program was built without PCRE2, which the bpe tokenizer needs");
}
void WordPattern::for_each_word(std::string_view, const std::function<void(std::string_view)>&) const {}

#endif

WordPattern::~WordPattern() = default;

}  // namespace moe
