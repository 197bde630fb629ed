// The choice also depends on the text's domain: z = W x + U c with a vector c that is learned per domain, which equals
// a router on the concatenation [x; c] (prompt-based conditioning, in the spirit of Lester et al., 2021). A sequence's
// domain is the file of the corpus that the sequence begins in.
#include "core/moe/logit_router.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/matmul.h"
#include "core/ops/sequence_rows.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  int64_t domains = 16, dimension = 16;
  void fields(FieldVisitor& v) override {
    softmax_fields(v);
    v.field("domains", domains, "number of domains with their own vector; all further domains share the last one",
            {1, 1 << 20});
    v.field("dimension", dimension, "width of the domain vectors", {1, 4096});
  }
};

class PromptRouter : public SoftmaxRouter {
 public:
  PromptRouter(const Options& o, const Setup& setup)
      : SoftmaxRouter(setup, o),
        prompts_(setup.add(table(setup, o))),
        prompt_weight_(setup.add(per_expert({.name = setup.name + ".router.prompt.weight",
                                             .shape = Shape{setup.experts, o.dimension},
                                             .group = ParameterGroup::shared,
                                             .initialisation = {Initialisation::Kind::normal, setup.init_std}}))) {
    add_weight(setup);
  }

 private:
  static Parameter table(const Setup& setup, const Options& o) {
    Parameter p{.name = setup.name + ".router.prompts",
                .shape = Shape{o.domains, o.dimension},
                .group = ParameterGroup::shared,
                .initialisation = {Initialisation::Kind::normal, 1}};
    p.lookup = true;
    p.decay = false;
    return p;
  }

  // The domains' indices and vectors, one per sequence. They are cheap, so backward recomputes them.
  struct Prompts {
    Tensor domains;  // (sequences) i32
    Tensor vectors;  // (sequences, dimension)
  };
  Prompts look_up(Context& ctx, ScratchScope& scratch, const TokenBatch& batch) const {
    const Prompts p{scratch.allocate(Shape{batch.sequences}, DType::i32),
                    scratch.allocate(Shape{batch.sequences, prompts_.shape[1]})};
    clamp_ids(ctx, p.domains, batch.domains, prompts_.shape[0]);
    embedding_forward(ctx, p.vectors, prompts_.value, p.domains);
    return p;
  }

  void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    SoftmaxRouter::logits_forward(ctx, batch, routing);
    ScratchScope scratch(ctx);
    const Tensor rows = scratch.allocate_wide(Shape{batch.sequences, experts_});
    linear_forward(ctx, rows, look_up(ctx, scratch, batch).vectors, prompt_weight_.value);
    add_sequence_rows(ctx, routing.logits, rows);
  }
  void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    SoftmaxRouter::logits_backward(ctx, batch, d_x, d_logits, routing);
    ScratchScope scratch(ctx);
    const Prompts p = look_up(ctx, scratch, batch);
    const Tensor d_rows = scratch.allocate_wide(Shape{batch.sequences, experts_}),
                 d_vectors = scratch.allocate(p.vectors.shape);
    sum_sequence_rows(ctx, d_rows, d_logits);
    linear_backward_weight(ctx, prompt_weight_.gradient, d_rows, p.vectors);
    linear_backward_input(ctx, d_vectors, d_rows, prompt_weight_.value);
    embedding_backward(ctx, prompts_.gradient, d_vectors, p.domains);
  }

  Parameter& prompts_;        // (domains, dimension)
  Parameter& prompt_weight_;  // (experts, dimension)
};

}  // namespace

Member prompt_router() {
  return member<Router, PromptRouter, Options>(
      "prompt", "topk whose logits also depend on a learned vector of the text's domain");
}

}  // namespace moe
