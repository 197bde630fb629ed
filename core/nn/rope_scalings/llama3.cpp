// Llama 3.1's scaling: low frequencies are divided by a factor, high ones stay, and those between are interpolated
// (core/ops/rope_frequencies.h).
#include "core/base/check.h"
#include "core/nn/rope_scaling.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_max_position = 8192;
  void fields(FieldVisitor& v) override {
    v.field("factor", factor, "divisor of the low frequencies", {1, 1e6});
    v.field("low_freq_factor", low_freq_factor,
            "frequencies with fewer periods than this in original_max_position tokens are divided by the factor",
            {1e-3, 1e6});
    v.field("high_freq_factor", high_freq_factor,
            "frequencies with more periods than this in original_max_position tokens stay; must be above "
            "low_freq_factor",
            {1e-3, 1e6});
    v.field("original_max_position", original_max_position,
            "length in tokens of the texts that the model was trained on at first", {1, 1LL << 40});
  }
};

class Llama3RopeScaling : public RopeScaling {
 public:
  Llama3RopeScaling(const Options& options, const Setup&) : options_(options) {
    if (options.high_freq_factor > options.low_freq_factor) return;
    raise<UsageError>("{}: {} must be above low_freq_factor, which is {}", options.where("high_freq_factor"),
                      options.high_freq_factor, options.low_freq_factor);
  }
  void apply(RopeFrequencies& frequencies) const override {
    frequencies.scaling = RopeFrequencies::Scaling::llama3;
    frequencies.factor = options_.factor;
    frequencies.low_freq_factor = options_.low_freq_factor;
    frequencies.high_freq_factor = options_.high_freq_factor;
    frequencies.original_max_position = static_cast<double>(options_.original_max_position);
  }

 private:
  Options options_;
};

}  // namespace

Member llama3_rope_scaling() {
  return member<RopeScaling, Llama3RopeScaling, Options>(
      "llama3", "low frequencies are divided by a factor, high ones stay (Llama 3.1)");
}

}  // namespace moe
