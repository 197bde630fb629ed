// The decoders of a tokenizer.json: what text a piece stands for. Blanks that an encoder puts in front of a text are
// removed by its caller.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace moe {

class PieceDecoder {
 public:
  PieceDecoder() = default;
  // `json`: the member "decoder", or null. Throws DataError for a kind that is not supported.
  explicit PieceDecoder(const Json& json);
  std::string decode(std::string piece) const;

  using Step = std::function<void(std::string& piece)>;

 private:
  std::vector<Step> steps_;
};

}  // namespace moe
