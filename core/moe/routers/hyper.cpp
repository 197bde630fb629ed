// A frozen hypernetwork computes the router's matrix from a trained embedding (Do et al., 2023, HyperRouter). With
// `form: source`, as in the authors' code, one embedding e gives all rows and biases: (W, b) = B relu(A e + a) + c.
// With `form: ours` each expert has an embedding: row i is B relu(A e_i), and there is no bias.
#include <cmath>

#include "core/moe/logit_router.h"
#include "core/ops/activation.h"
#include "core/ops/bias.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  std::string form = "source";
  int64_t embedding = 0, hidden = 256;
  void fields(FieldVisitor& v) override {
    softmax_fields(v);
    v.field("form", form,
            "source = one embedding gives the whole matrix and its bias, as in the authors' code; ours = one embedding "
            "per expert gives its row",
            {"source", "ours"});
    v.field("embedding", embedding, "width of the trained embeddings; 0 = d_model", {0, 65536});
    v.field("hidden", hidden, "width of the hypernetwork's hidden layer", {1, 65536});
  }
};

// The matrix, its bias and the tensors for backward.
struct Generated {
  Tensor z, hidden;  // of the hidden layer, before and after the activation
  Tensor weight;     // (experts, d_model)
  Tensor bias;       // (experts), or none
};

// Makes the router's matrix. It costs little compared with the tokens' logits, so backward recomputes it.
class Hypernetwork {
 public:
  virtual ~Hypernetwork() = default;
  virtual Generated forward(Context& ctx, ScratchScope& scratch) const = 0;
  // d_weight (experts, d_model), d_bias (experts) or none -> added to the embedding's gradient
  virtual void backward(Context& ctx, ScratchScope& scratch, const Generated& generated, ConstTensor d_weight,
                        ConstTensor d_bias) const = 0;

 protected:
  using Setup = Router::Setup;
  static Parameter& parameter(const Setup& setup, const char* name, Shape shape, ParameterGroup group,
                              Initialisation initialisation, PerExpert copies = PerExpert::no) {
    return setup.add(per_expert(
        {.name = setup.name + ".router." + name, .shape = shape, .group = group, .initialisation = initialisation},
        copies));
  }
  static Initialisation normal(double std) { return {Initialisation::Kind::normal, std}; }
  static int64_t width_of(const Options& o, const Setup& setup) {
    return o.embedding > 0 ? o.embedding : setup.d_model();
  }
};

class SourceNetwork : public Hypernetwork {
 public:
  // Initial values are those of PyTorch's layers: uniform up to 1 / sqrt(inputs), biases included.
  SourceNetwork(const Options& o, const Setup& setup)
      : experts_(setup.experts),
        d_model_(setup.d_model()),
        embedding_(parameter(setup, "embedding", {1, width_of(o, setup)}, ParameterGroup::shared, normal(1))),
        input_(frozen(setup, "hyper.input.weight", {o.hidden, width_of(o, setup)}, width_of(o, setup))),
        input_bias_(frozen(setup, "hyper.input.bias", {o.hidden}, width_of(o, setup))),
        rows_(frozen(setup, "hyper.rows.weight", {experts_, d_model_ * o.hidden}, o.hidden, PerExpert::alike)),
        rows_bias_(frozen(setup, "hyper.rows.bias", {experts_, d_model_}, o.hidden, PerExpert::alike)),
        biases_(frozen(setup, "hyper.biases.weight", {experts_, o.hidden}, o.hidden, PerExpert::alike)),
        biases_bias_(frozen(setup, "hyper.biases.bias", {experts_}, o.hidden, PerExpert::alike)) {}

  Generated forward(Context& ctx, ScratchScope& scratch) const override {
    const Shape inner{1, hidden()};
    const Generated made{scratch.allocate_wide(inner), scratch.allocate_wide(inner),
                         scratch.allocate_wide(Shape{experts_, d_model_}), scratch.allocate_wide(Shape{experts_})};
    linear_forward(ctx, made.z, embedding_.value, input_.value);
    add(ctx, made.z, made.z, input_bias_.value.reshape(inner));
    activation_forward(ctx, made.hidden, made.z, Activation::relu);
    linear_forward(ctx, flat(made.weight), made.hidden, all_rows());
    add(ctx, made.weight, made.weight, rows_bias_.value);
    linear_forward(ctx, flat(made.bias), made.hidden, biases_.value);
    add(ctx, made.bias, made.bias, biases_bias_.value);
    return made;
  }

  void backward(Context& ctx, ScratchScope& scratch, const Generated& made, ConstTensor d_weight,
                ConstTensor d_bias) const override {
    const Tensor d_hidden = scratch.allocate_wide(made.hidden.shape), d_z = scratch.allocate_wide(made.z.shape);
    linear_backward_input(ctx, d_hidden, flat(d_weight), all_rows());
    linear_backward_input(ctx, d_hidden, flat(d_bias), biases_.value, true);
    activation_backward(ctx, d_z, d_hidden, made.z, Activation::relu);
    linear_backward_input(ctx, embedding_.gradient, d_z, input_.value, true);
  }

 private:
  static Parameter& frozen(const Setup& setup, const char* name, Shape shape, int64_t inputs,
                           PerExpert copies = PerExpert::no) {
    const double limit = 1 / std::sqrt(static_cast<double>(inputs));
    return parameter(setup, name, shape, ParameterGroup::untrained, {Initialisation::Kind::uniform, limit}, copies);
  }
  template <class T>
  static BasicTensor<T> flat(const BasicTensor<T>& x) {
    return x.reshape(Shape{1, x.size()});
  }
  int64_t hidden() const { return input_.shape[0]; }
  ConstTensor all_rows() const { return rows_.value.reshape(Shape{experts_ * d_model_, hidden()}); }

  const int64_t experts_, d_model_;
  Parameter& embedding_;            // (1, embedding)
  Parameter &input_, &input_bias_;  // (hidden, embedding), (hidden)
  Parameter &rows_, &rows_bias_;    // (experts, d_model * hidden): d_model rows of `hidden` values; (experts, d_model)
  Parameter &biases_, &biases_bias_;  // (experts, hidden), (experts)
};

class NetworkPerExpert : public Hypernetwork {
 public:
  // With these standard deviations the initial matrix has the same variance as that of a normal router.
  NetworkPerExpert(const Options& o, const Setup& setup)
      : embedding_(parameter(setup, "embedding", {setup.experts, width_of(o, setup)}, ParameterGroup::shared, normal(1),
                             PerExpert::alike)),
        input_(parameter(setup, "hyper.input.weight", {o.hidden, width_of(o, setup)}, ParameterGroup::untrained,
                         normal(1 / std::sqrt(static_cast<double>(width_of(o, setup)))))),
        output_(parameter(setup, "hyper.output.weight", {setup.d_model(), o.hidden}, ParameterGroup::untrained,
                          normal(setup.init_std * std::sqrt(2.0 / static_cast<double>(o.hidden))))) {}

  Generated forward(Context& ctx, ScratchScope& scratch) const override {
    const Shape inner{embedding_.shape[0], input_.shape[0]};
    const Generated made{scratch.allocate_wide(inner),
                         scratch.allocate_wide(inner),
                         scratch.allocate_wide(Shape{inner[0], output_.shape[0]}),
                         {}};
    linear_forward(ctx, made.z, embedding_.value, input_.value);
    activation_forward(ctx, made.hidden, made.z, Activation::relu);
    linear_forward(ctx, made.weight, made.hidden, output_.value);
    return made;
  }

  void backward(Context& ctx, ScratchScope& scratch, const Generated& made, ConstTensor d_weight,
                ConstTensor) const override {
    const Tensor d_hidden = scratch.allocate_wide(made.hidden.shape), d_z = scratch.allocate_wide(made.z.shape);
    linear_backward_input(ctx, d_hidden, d_weight, output_.value);
    activation_backward(ctx, d_z, d_hidden, made.z, Activation::relu);
    linear_backward_input(ctx, embedding_.gradient, d_z, input_.value, true);
  }

 private:
  Parameter& embedding_;  // (experts, embedding)
  Parameter& input_;      // (hidden, embedding)
  Parameter& output_;     // (d_model, hidden)
};

class HyperRouter : public SoftmaxRouter {
 public:
  HyperRouter(const Options& o, const Setup& setup) : SoftmaxRouter(setup, o) {
    if (o.form == "source") {
      network_ = std::make_unique<SourceNetwork>(o, setup);
    } else {
      network_ = std::make_unique<NetworkPerExpert>(o, setup);
    }
  }

 private:
  void logits_forward(Context& ctx, const TokenBatch&, Routing& routing) override {
    routing.logits = ctx.allocate_wide(Shape{routing.x.dim(0), experts_});
    ScratchScope scratch(ctx);
    const Generated made = network_->forward(ctx, scratch);
    linear_forward(ctx, routing.logits, routing.x, made.weight);
    if (made.bias) bias_forward(ctx, routing.logits, made.bias);
  }

  void logits_backward(Context& ctx, const TokenBatch&, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Generated made = network_->forward(ctx, scratch);
    linear_backward_input(ctx, d_x, d_logits, made.weight, true);
    const Tensor d_weight = scratch.allocate_wide(made.weight.shape);
    fill_zero(ctx, d_weight);
    linear_backward_weight(ctx, d_weight, d_logits, routing.x);
    Tensor d_bias;
    if (made.bias) {
      d_bias = scratch.allocate_wide(made.bias.shape);
      bias_backward(ctx, d_bias, d_logits, {}, false);
    }
    network_->backward(ctx, scratch, made, d_weight, d_bias);
  }

  std::unique_ptr<Hypernetwork> network_;
};

}  // namespace

Member hyper_router() {
  return member<Router, HyperRouter, Options>(
      "hyper", "topk with a router matrix that a frozen hypernetwork computes from trained embeddings");
}

}  // namespace moe
