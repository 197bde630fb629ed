#include "core/step/training_state.h"

#include <algorithm>

#include "comm/communicator.h"
#include "core/base/integer.h"
#include "core/base/units.h"
#include "core/moe/placement.h"
#include "core/nn/gradient_observer.h"
#include "core/step/check_model.h"
#include "core/tensor/copy.h"
#include "core/tensor/device.h"
#include "data/curriculum/curriculum.h"
#include "data/document_windows.h"

namespace moe {

int64_t StateSetup::micro_sequences() const {
  if (sequences > 0) return sequences;
  return divide_up(divide_up(config.train.batch, groups.world->size()), config.train.micro_batches);
}

Share StateSetup::rows() const {
  return share_of(config.train.batch, groups.world->size(), groups.world->rank());
}

// The context memory of a batch's rows. Independent samples have no predecessors: for them the memory's length only
// limits how far attention reaches.
static MemoryShape memory_of(const TrainConfig& config) {
  return models().at(config.task).reads_on ? MemoryShape::of(config.model) : MemoryShape{};
}

static std::unique_ptr<Model> make_model(ParameterStore& parameters, const StateSetup& s) {
  check_model(s.config, s.sample, s.trains);
  ModelSetup setup{.model = s.config.model,
                   .moe = s.config.moe,
                   .sample = s.sample,
                   .groups = s.groups,
                   .step_samples = s.config.train.batch,
                   .run = s.run,
                   .signals = s.trains ? measured_signals(s.config) : SampleSignalSet{},
                   .label_smoothing = s.config.train.label_smoothing,
                   .trains = s.trains,
                   .overlap = s.config.parallel.overlap,
                   .all_to_all = all_to_all_from(s.config.parallel.all_to_all)};
  if (setup.all_to_all == AllToAll::hierarchical && !s.groups.layout.uneven.empty()) {
    raise<UsageError>("{}: hierarchical needs hosts with equal numbers of ranks, but {}; use auto or direct",
                      s.config.parallel.where("all_to_all"), s.groups.layout.uneven);
  }
  setup.sample.time = s.time();
  const std::unique_ptr<Placement> placement = s.config.parallel.placement.make(Placement::Setup{s.run});
  if (s.trains && s.groups.expert->size() > 1) {
    setup.moves_experts = placement->moves();
    setup.counts_pairs = placement->counts_pairs();
    setup.replicas = s.config.parallel.replicas;
  }
  if (s.trains && s.config.parallel.replicas > 0 && !placement->moves()) {
    raise<UsageError>(
        "{}: which experts get copies is decided by their load, which parallel.placement: {} does not measure; use "
        "placement: load or co_activation, or replicas: 0",
        s.config.parallel.where("replicas"), s.config.parallel.placement.kind());
  }
  return models().at(s.config.task).make(parameters, setup);
}

static std::unique_ptr<Optimizer> make_optimizer(Context& ctx, ParameterStore& parameters, const StateSetup& s) {
  return s.config.optimizer.make(Optimizer::Setup{
      .ctx = ctx, .parameters = parameters, .run = s.run, .groups = &s.groups, .bucket = s.config.parallel.bucket});
}

TokenBatch planned_batch(Context& ctx, const StateSetup& s, const Model& model, const ContextMemory& memory) {
  const auto host = [&](Shape shape, DType dtype) {
    return to_device(ctx, Tensor{nullptr, shape, dtype, Device::cpu});
  };
  TokenBatch batch;
  batch.modalities = s.sample.modalities;
  batch.sequences = batch.global_sequences = s.micro_sequences() * batch.modalities;
  batch.time = s.time() / batch.modalities;
  batch.global_tokens = batch.tokens();
  const Shape tokens{batch.tokens()}, sequences{batch.sequences}, samples{batch.samples()};
  if (s.sample.vocab > 0) batch.ids = host(tokens, DType::i32);
  batch.targets = host(tokens, DType::i32);
  if (s.sample.classes == 0) batch.domains = host(sequences, DType::i32);
  if (s.trains && draws_weights(s.config.curriculum)) {
    batch.weights = host(Shape{batch.samples() * model.predictions_per_sample(s.time())}, wide(ctx.dtype));
  }
  if (s.sample.classes > 0) batch.labels = host(samples, DType::i32);
  const bool is_text = s.sample.vocab > 0 && s.sample.classes == 0;
  const DocumentMode documents = is_text ? document_mode(s.config.data.documents) : DocumentMode::joined;
  // A window of a text ends early at evaluation, or with its document.
  if ((s.sample.vocab > 0 || s.sample.modalities > 1) && (!is_text || !ctx.training || documents == DocumentMode::fit))
    batch.lengths = host(sequences, DType::i32);
  if (documents == DocumentMode::separate) {
    batch.document_begins = host(tokens, DType::i32);
    batch.document_ends = host(tokens, DType::i32);
  }
  if (s.sample.features > 0) {
    const FeatureRows rows = s.sample.feature_rows();
    batch.features = host(Shape{batch.samples() * rows.per_sample(), rows.width}, wide(ctx.dtype));
  }
  if (memory) batch.memory = &memory;
  return batch;
}

static Context make_context(const StateSetup& setup, Arena& activations, Arena& scratch) {
  Context ctx;
  ctx.device = setup.device;
  ctx.dtype = setup.precision.storage;
  ctx.products = setup.precision.products;
  ctx.activations = &activations;
  ctx.scratch = &scratch;
  ctx.seed = static_cast<uint64_t>(setup.config.seed);
  return ctx;
}

// Plans the memory in which copies of experts send their gradients home, in the midst of backward.
class PlannedCopies : public GradientObserver {
 public:
  explicit PlannedCopies(const Model& model) : model_(model) {}
  void before_blocks(Context&) override {}
  void block_complete(Context& ctx, int64_t block) override {
    for (MoELayer* layer : model_.moe_layers()) {
      if (layer->layer() == block) layer->add_copies_gradients(ctx);
    }
  }

 private:
  const Model& model_;
};

static void plan_update(Context& ctx, const TrainConfig& config, Model& model, Optimizer& optimizer,
                        const TokenBatch& batch) {
  {
    const PackedWeightsScope packed(ctx, config.train.micro_batches > 1);
    PlannedCopies copies(model);
    if (config.parallel.reduce_during_backward) ctx.gradients = &copies;
    model.forward(ctx, batch);
    model.complete(ctx);
    model.losses_and_backward(ctx, batch, 1);
    ctx.gradients = nullptr;
  }
  for (MoELayer* layer : model.moe_layers()) layer->add_copies_gradients(ctx);
  optimizer.step(ctx, {});
  for (MoELayer* layer : model.moe_layers()) {
    layer->update_copies(ctx);
    layer->after_step(ctx);
  }
}

MemoryPlan plan_memory(const StateSetup& setup) {
  MemoryPlan plan;
  for (const bool worst : {false, true}) {
    Arena activations = Arena::planning("activations", setup.device),
          scratch = Arena::planning("scratch", setup.device);
    Context ctx = make_context(setup, activations, scratch);
    PackedWeights packed_weights(Arena::planning("packed weights", setup.device));
    ctx.packed_weights = &packed_weights;
    ctx.planning = true;
    ctx.needs_host = &plan.needs_host;
    ctx.planned_imbalance = worst ? static_cast<double>(setup.groups.expert->size()) : 1;
    ctx.training = setup.trains;
    ctx.diagnose = !setup.trains;  // moe-inspect needs it; other programs use less memory
    ParameterStore parameters;
    const std::unique_ptr<Model> model = make_model(parameters, setup);
    parameters.allocate(ctx, setup.precision.storage, setup.trains);
    plan.parameters = parameters.parameter_bytes();
    plan.gradients = parameters.gradient_bytes();
    plan.copies = parameters.copies_bytes();
    if (setup.device == Device::cuda) plan.sums = model->sums().size_bytes();
    const std::unique_ptr<Optimizer> optimizer = setup.trains ? make_optimizer(ctx, parameters, setup) : nullptr;
    plan.optimizer = optimizer ? optimizer->bytes() : 0;
    if (setup.trains && setup.device == Device::cpu && setup.groups.world->size() > 1) {
      plan.messages = message_bytes(optimizer->is_sharded()
                                        ? optimizer->plan()
                                        : plan_reduction(parameters, setup.groups, setup.config.parallel.bucket),
                                    wide(setup.precision.storage));
    }

    const auto memory_for = [&](int64_t rows) { return ContextMemory(ctx, memory_of(setup.config), rows); };
    const int64_t ranks = setup.groups.world->size();
    plan.memory = setup.trains ? memory_for(divide_up(setup.config.train.batch, ranks)).bytes() : 0;
    plan.evaluation_memory = memory_for(divide_up(setup.config.evaluate.streams, ranks)).bytes();
    ContextMemory memory = memory_for(setup.micro_sequences());
    memory.advance(setup.config.model.attention.memory);
    TokenBatch batch = planned_batch(ctx, setup, *model, memory);
    if (setup.trains) {
      plan_update(ctx, setup.config, *model, *optimizer, batch);
      // An evaluation may need more than training, because a capacity may keep more rows there.
      activations.reset();
      scratch.reset();
      ctx.training = false;
      batch = planned_batch(ctx, setup, *model, memory);
    }
    const PackedWeightsScope packed(ctx);
    model->forward(ctx, batch);
    model->complete(ctx);
    if (!model->compares_samples()) model->observe_losses(ctx, model->losses(ctx, batch));
    plan.packed_weights = packed_weights.bytes();
    (worst ? plan.worst_activations : plan.activations) = activations.peak();
    (worst ? plan.worst_scratch : plan.scratch) = scratch.peak();
  }
  return plan;
}

// The queue of the setup's device, which must have room for the plan: an error now names all parts of it.
static std::shared_ptr<cuda::Queue> queue_with_room(const StateSetup& setup, const MemoryPlan& plan) {
  if (setup.device == Device::cpu) return setup.queue;
  auto queue = setup.queue ? setup.queue : cuda::make_queue(setup.device_index);
  const cuda::MemoryInfo memory = cuda::memory_info();
  if (plan.worst_total() <= memory.free_bytes) return queue;
  const auto text = [](size_t bytes) { return format_bytes(static_cast<double>(bytes)); };
  raise<DeviceError>(
      "this run needs {} of GPU memory (parameters {}, gradients {}, optimizer {}, activations {}, scratch {}, the "
      "rest "
      "{}), but {} of the device's {} are free; raise train.micro_batches or set model.recompute to reduce "
      "activations, "
      "use more ranks (parallel.expert) to reduce the rest, or end other programs on the GPU",
      text(plan.worst_total()), text(plan.parameters), text(plan.gradients), text(plan.optimizer),
      text(plan.worst_activations), text(plan.worst_scratch),
      text(plan.lasting() - plan.parameters - plan.gradients - plan.optimizer), text(memory.free_bytes),
      text(memory.total_bytes));
}

TrainingState::TrainingState(const StateSetup& setup, const MemoryPlan& plan, bool initialise)
    : queue_(queue_with_room(setup, plan)),
      activations_("activations", setup.device, plan.worst_activations, plan.needs_host),
      scratch_("scratch", setup.device, plan.worst_scratch, plan.needs_host),
      packed_weights_(Arena("packed weights", setup.device, plan.packed_weights)) {
  ctx = make_context(setup, activations_, scratch_);
  ctx.queue = queue_.get();
  ctx.packed_weights = &packed_weights_;
  ctx.managed = plan.needs_host;
  model = make_model(parameters, setup);
  if (ctx.device == Device::cuda) sums_ = DeviceSums(ctx, model->sums());
  ctx.sums = &sums_;
  parameters.allocate(ctx, setup.precision.storage, setup.trains);
  if (initialise) parameters.initialise(ctx, static_cast<uint64_t>(setup.config.seed));
  if (setup.trains) {
    optimizer = make_optimizer(ctx, parameters, setup);
    memory = ContextMemory(ctx, memory_of(setup.config), setup.rows().count);
  }
}

void TrainingState::complete_sums(const ProcessGroups& groups) {
  sums_.collect(ctx);
  groups.world->all_reduce_sum(as_tensor(model->sums()));
  model->complete(ctx);
}

size_t TrainingState::used_bytes() const {
  return parameters.parameter_bytes() + parameters.gradient_bytes() + parameters.copies_bytes() +
         (optimizer ? optimizer->bytes() : 0) + sums_.bytes() + packed_weights_.bytes() + memory.bytes() +
         activations_.peak() + scratch_.peak();
}

// Calls use(parameters, model, time) with the model of one rank, whose tensors are not allocated.
template <class Use>
static auto with_planned_model(const TrainConfig& config, const SampleShape& sample, const RunLength& run, Use use) {
  const ProcessGroups groups = ProcessGroups::single();
  const StateSetup setup{config, sample, groups, run};
  ParameterStore parameters;
  const std::unique_ptr<Model> model = make_model(parameters, setup);
  return use(parameters, *model, setup.time());
}

void with_model(const TrainConfig& config, const SampleShape& sample, const RunLength& run,
                const std::function<void(const Model&)>& use) {
  with_planned_model(config, sample, run, [&](const ParameterStore&, const Model& model, int64_t) { use(model); });
}

int64_t experts_per_token(const TrainConfig& config, const RunLength& run) {
  SampleShape some(1);
  some.classes = 2;
  some.modalities = models().at(config.task).modalities;
  return with_planned_model(config, some, run, [](const ParameterStore&, const Model& model, int64_t) {
    int64_t most = 0;
    for (const MoELayer* layer : model.moe_layers()) most = std::max(most, layer->experts_per_token());
    return most;
  });
}

FixedExperts fixed_experts(const TrainConfig& config, const SampleShape& sample, const RunLength& run) {
  return with_planned_model(config, sample, run, [](const ParameterStore&, const Model& model, int64_t) {
    FixedExperts fixed;
    for (const MoELayer* layer : model.moe_layers()) {
      if (fixed.number.empty()) fixed.number = layer->traits().fixed_experts;
      if (fixed.places.empty()) fixed.places = layer->traits().fixed_places;
    }
    return fixed;
  });
}

std::map<std::string, ParameterPlace> tensor_places(const TrainConfig& config, const SampleShape& sample,
                                                    const RunLength& run) {
  return with_planned_model(config, sample, run, [](const ParameterStore& parameters, const Model&, int64_t) {
    std::map<std::string, ParameterPlace> places;
    for (const Parameter& p : parameters.parameters()) {
      if (p.group != ParameterGroup::expert) {
        places[p.name] = p.place;
        continue;
      }
      for (int64_t e = 0; e < p.shape[0]; ++e) places[expert_name(p.name, e)] = p.place;
    }
    return places;
  });
}

ModelCost model_cost(const TrainConfig& config, const SampleShape& sample, const RunLength& run) {
  return with_planned_model(config, sample, run,
                            [](const ParameterStore& parameters, const Model& model, int64_t time) {
                              return cost_of(parameters, model, time);
                            });
}

ModelSummary summarise(const TrainConfig& config, const SampleShape& sample, const RunLength& run) {
  return with_planned_model(config, sample, run,
                            [](const ParameterStore& parameters, const Model& model, int64_t time) {
                              return summarise(parameters, model, time);
                            });
}

}  // namespace moe
