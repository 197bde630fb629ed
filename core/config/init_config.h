// init: what a run starts from.
#pragma once
#include "core/config/fields.h"

namespace moe {

struct InitConfig : Fields<InitConfig> {
  std::string from;
  std::string checkpoint = "last";
  double noise = 0;
  double reinitialise = 0;
  double scale = 1;

  void fields(FieldVisitor& v) override {
    v.field("from", from,
            "a run or a checkpoint whose weights this run starts with, at step 0 and with a fresh optimizer; where a "
            "dense feed-forward layer meets a MoE layer it becomes every expert; a classifier takes all of a language "
            "model "
            "but its head, and its tokenizer; empty = none");
    v.field("checkpoint", checkpoint, "of that run: last, best or a step");
    v.field("noise", noise, "on experts made of a dense layer, over the root mean square of its weights", {0, 10});
    v.field("reinitialise", reinitialise,
            "share of the inner units of each expert made of a dense layer, others in each, that are drawn anew",
            {0, 1});
    v.field("scale", scale,
            "factor on the outputs of such experts, for routers whose weights do not sum to 1 (experts / k is near for "
            "softmax: all)",
            {1e-3, 1e3});
  }
};

}  // namespace moe
