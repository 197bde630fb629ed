// init: what a run starts from.
#pragma once
#include "core/config/fields.h"

namespace moe {

struct ClusterConfig : Fields<ClusterConfig> {
  int64_t tokens = 0;
  int64_t iterations = 30;
  double scale = 1;
  std::string experts = "fresh";

  void fields(FieldVisitor& v) override {
    v.field("tokens", tokens,
            "training tokens, in whole samples, whose inputs to each MoE layer are clustered, one cluster for each "
            "expert; 0 = nothing is clustered",
            {0, int64_t{1} << 31});
    v.field("iterations", iterations, "of spherical k-means at most", {1, 100000});
    v.field("scale", scale, "size of the router's rows, over that of rows that are drawn", {1e-3, 1e3});
    v.field("experts", experts,
            "fresh: experts stay as they are; tokens: the rows of their input matrices keep their length and turn to "
            "tokens of their cluster",
            {"fresh", "tokens"});
  }
};

struct ReptileConfig : Fields<ReptileConfig> {
  int64_t rounds = 0;
  int64_t domains = 8;
  int64_t inner_steps = 5;
  double inner_rate = 0.02;
  double step_size = 0.5;
  std::string parameters = "experts";

  void fields(FieldVisitor& v) override {
    v.field("rounds", rounds, "rounds of Reptile before the first update; 0 = none", {0, 1 << 20});
    v.field("domains", domains, "equal parts of the training samples, each of neighbours", {1, 1 << 16});
    v.field("inner_steps", inner_steps, "steps of gradient descent on a domain, a batch each", {1, 1 << 20});
    v.field("inner_rate", inner_rate, "learning rate of these steps", {0, 1e3});
    v.field("step_size", step_size, "how far a round goes towards the mean of what the domains made of the weights",
            {0, 10});
    v.field("parameters", parameters, "experts: of the routed experts alone; all: of the whole model",
            {"experts", "all"});
  }
};

struct InitConfig : Fields<InitConfig> {
  std::string from;
  std::string checkpoint = "last";
  double noise = 0;
  double reinitialise = 0;
  double scale = 1;
  ClusterConfig clusters;
  ReptileConfig reptile;

  void fields(FieldVisitor& v) override {
    v.field("from", from,
            "a run or a checkpoint whose weights this run starts with, at step 0 and with a fresh optimizer; where a "
            "dense feed-forward layer meets a MoE layer it becomes every expert; a classifier takes all of a language "
            "model "
            "but its head, and its tokenizer; empty = none");
    v.field("checkpoint", checkpoint, "of that run: last, best or a step");
    v.field("noise", noise, "on experts made of a dense layer, over the root mean square of its weights", {0, 10});
    v.field("reinitialise", reinitialise,
            "share of the inner units of each expert made of a dense layer, others in each, that are drawn anew: by "
            "lot, or with `clusters` those that the expert's cluster uses least",
            {0, 1});
    v.field("scale", scale,
            "factor on the outputs of such experts, for routers whose weights do not sum to 1 (experts / k is near for "
            "softmax: all)",
            {1e-3, 1e3});
    v.group("clusters", clusters, "Routers and experts from clusters of what each MoE layer gets to see.");
    v.group("reptile", reptile, "A meta-learned start: weights from which a few steps lead far in every domain.");
  }
};

}  // namespace moe
