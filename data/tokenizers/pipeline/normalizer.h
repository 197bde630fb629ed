// The normalisers of a tokenizer.json: steps that change a text before it is cut into words.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "data/tokenizers/pipeline/aligned_text.h"

namespace moe {

class TextNormalizer {
 public:
  TextNormalizer() = default;
  // `json`: the member "normalizer", or null. Throws DataError for a kind or an option that is not supported.
  explicit TextNormalizer(const Json& json);

  bool changes_text() const { return !steps_.empty(); }
  // `continues`: the text follows another part of the same text, so nothing is put in front of it.
  AlignedText apply(AlignedText text, bool continues) const;
  std::string apply(std::string_view text) const;

  using Step = std::function<AlignedText(AlignedText text, bool continues)>;

 private:
  std::vector<Step> steps_;
};

}  // namespace moe
