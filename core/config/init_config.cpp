#include "core/config/init_config.h"

namespace moe {

void ClusterConfig::fields(FieldVisitor& v) {
  v.field("tokens", tokens,
          "number of training tokens, in whole samples, whose inputs to each MoE layer are clustered, with one "
          "cluster per expert; 0 = no clustering",
          {0, int64_t{1} << 31});
  v.field("iterations", iterations, "maximum number of iterations of spherical k-means", {1, 100000});
  v.field("scale", scale,
          "norm of the router's rows that are set from clusters, relative to that of randomly drawn rows", {1e-3, 1e3});
  v.field("experts", experts,
          "fresh: experts are not changed; tokens: the rows of their input matrices keep their norm and take the "
          "direction of tokens from their cluster",
          {"fresh", "tokens"});
}

void ReptileConfig::fields(FieldVisitor& v) {
  v.field("rounds", rounds, "number of Reptile rounds before the first update; 0 = none", {0, 1 << 20});
  v.field("domains", domains, "number of equal parts of consecutive training samples, which serve as domains",
          {1, 1 << 16});
  v.field("inner_steps", inner_steps, "number of gradient descent steps per domain, with one batch each", {1, 1 << 20});
  v.field("inner_rate", inner_rate, "learning rate of the steps on a domain", {0, 1e3});
  v.field("step_size", step_size,
          "step of a round from the weights towards the mean of the domains' final weights: 0 = none, 1 = all the way",
          {0, 10});
  v.field("parameters", parameters,
          "parameters that Reptile changes: experts = only the routed experts; all = the whole model",
          {"experts", "all"});
}

void InitConfig::fields(FieldVisitor& v) {
  v.field("from", from,
          "run or checkpoint whose weights this run starts with, at step 0 and with a new optimizer state. A dense "
          "feed-forward layer in the place of a MoE layer is copied to every expert. A classifier takes a language "
          "model's tokenizer and all weights except the head. Empty = none");
  v.field("checkpoint", checkpoint, "checkpoint of the run in `from`: last, best or a step number");
  v.field("noise", noise,
          "standard deviation of the noise on experts that are copied from a dense layer, relative to the root mean "
          "square of its weights",
          {0, 10});
  v.field("reinitialise", reinitialise,
          "share of the hidden units of each expert copied from a dense layer that are re-drawn, different ones in "
          "each expert: chosen at random, or with `clusters` those that the expert's cluster uses least",
          {0, 1});
  v.field("scale", scale,
          "factor on the outputs of experts copied from a dense layer, for routers whose weights do not sum to 1 "
          "(with softmax: all, about experts / k)",
          {1e-3, 1e3});
  v.field("perturb", perturb,
          "size of a perturbation of all initial values: each is multiplied by 1 + perturb * u, u uniform in [-1, 1]. "
          "Copies of a run with 1e-6 show how far equal runs drift apart (scripts/compare --noise)",
          {0, 0.1});
  v.field("perturb_seed", perturb_seed, "seed of that perturbation; all else keeps the run's seed", {0, 1LL << 53});
  v.group("clusters", clusters, "Initialises routers and experts from clusters of each MoE layer's inputs.");
  v.group("reptile", reptile,
          "Meta-learned initialisation (Reptile): weights from which a few steps suffice to learn any domain.");
}

}  // namespace moe
