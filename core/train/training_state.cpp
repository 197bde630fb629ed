#include "core/train/training_state.h"

#include "core/base/integer.h"
#include "core/tensor/copy.h"
#include "core/tensor/device.h"
#include "data/curriculum/curriculum.h"

namespace moe {

int64_t StateSetup::micro_sequences() const {
  return divide_up(divide_up(config.train.batch, groups.world->size()), config.train.micro_batches);
}

static void check(const TrainConfig& config) {
  const ModelConfig& model = config.model;
  if (model.attention.d_head == 0 && model.d_model % model.attention.heads != 0) {
    raise<UsageError>("model.attention.heads: {} heads do not divide d_model {}; set d_head", model.attention.heads,
                      model.d_model);
  }
  if (model.attention.heads % model.kv_heads() != 0) {
    raise<UsageError>("model.attention.kv_heads: {} do not divide {} heads", model.kv_heads(), model.attention.heads);
  }
  if (model.attention.position == "rope" && model.d_head() < 2) {
    raise<UsageError>("model.attention: rope needs a head of at least 2 dimensions; set position: learned or none");
  }
}

static LanguageModel::Setup model_setup(const StateSetup& s) {
  check(s.config);
  return {s.config.model,
          s.config.moe,
          s.vocab,
          s.config.data.sequence,
          s.groups,
          s.run,
          s.trains ? measured_signals(s.config.curriculum) : SampleSignalSet{}};
}

static Context make_context(const StateSetup& setup, Arena& activations, Arena& scratch) {
  Context ctx;
  ctx.device = setup.device;
  ctx.dtype = setup.dtype;
  ctx.activations = &activations;
  ctx.scratch = &scratch;
  ctx.seed = static_cast<uint64_t>(setup.config.seed);
  return ctx;
}

MemoryPlan plan_memory(const StateSetup& setup) {
  MemoryPlan plan;
  for (const bool worst : {false, true}) {
    Arena activations = Arena::planning("activations", setup.device),
          scratch = Arena::planning("scratch", setup.device);
    Context ctx = make_context(setup, activations, scratch);
    ctx.planning = true;
    ctx.needs_host = &plan.needs_host;
    ctx.planned_imbalance = worst ? static_cast<double>(setup.groups.expert->size()) : 1;
    ctx.training = setup.trains;
    ctx.diagnose = !setup.trains;  // moe-inspect asks for it; others use less
    ParameterStore parameters;
    LanguageModel model(parameters, model_setup(setup));
    parameters.allocate(ctx, setup.dtype, setup.trains);
    plan.parameters = parameters.parameter_bytes();
    plan.gradients = parameters.gradient_bytes();
    plan.optimizer = setup.trains ? AdamW(ctx, parameters, setup.config.optimizer).bytes() : 0;

    TokenBatch batch;
    batch.sequences = setup.micro_sequences();
    batch.time = setup.config.data.sequence;
    Tensor ids{nullptr, Shape{batch.tokens()}, DType::i32, Device::cpu};
    batch.ids = to_device(ctx, ids);
    batch.targets = to_device(ctx, ids);
    if (setup.trains && draws_weights(setup.config.curriculum)) {
      batch.weights = to_device(ctx, Tensor{nullptr, ids.shape, wide(setup.dtype), Device::cpu});
    }
    batch.global_tokens = batch.tokens();
    batch.global_sequences = batch.sequences;
    model.forward(ctx, batch);
    if (setup.trains) {
      model.losses_and_backward(ctx, batch, 1);
      for (MoELayer* layer : model.moe_layers()) layer->after_step(ctx);
    } else {
      model.losses(ctx, batch);
    }
    (worst ? plan.worst_activations : plan.activations) = activations.peak();
    (worst ? plan.worst_scratch : plan.scratch) = scratch.peak();
  }
  return plan;
}

TrainingState::TrainingState(const StateSetup& setup, const MemoryPlan& plan, bool initialise)
    : queue_(setup.device == Device::cpu || setup.queue ? setup.queue : cuda::make_queue(setup.device_index)),
      activations_("activations", setup.device, plan.worst_activations, plan.needs_host),
      scratch_("scratch", setup.device, plan.worst_scratch, plan.needs_host) {
  ctx = make_context(setup, activations_, scratch_);
  ctx.queue = queue_.get();
  ctx.managed = plan.needs_host;
  model.emplace(parameters, model_setup(setup));
  parameters.allocate(ctx, setup.dtype, setup.trains);
  if (initialise) parameters.initialise(ctx, static_cast<uint64_t>(setup.config.seed));
  if (setup.trains) optimizer.emplace(ctx, parameters, setup.config.optimizer);
}

size_t TrainingState::used_bytes() const {
  return parameters.parameter_bytes() + parameters.gradient_bytes() + (optimizer ? optimizer->bytes() : 0) +
         activations_.peak() + scratch_.peak();
}

// Calls use(parameters, model) with the model of one rank, whose tensors have no memory.
template <class Use>
static auto with_model(const TrainConfig& config, int64_t vocab, const RunLength& run, Use use) {
  const ProcessGroups groups = ProcessGroups::single();
  ParameterStore parameters;
  const LanguageModel model(parameters, model_setup({config, vocab, groups, run}));
  return use(parameters, model);
}

int64_t experts_per_token(const TrainConfig& config, const RunLength& run) {
  return with_model(config, 1, run, [](const ParameterStore&, const LanguageModel& model) {
    return model.moe_layers().empty() ? 0 : model.moe_layers()[0]->experts_per_token();
  });
}

ModelSummary summarise(const TrainConfig& config, int64_t vocab, const RunLength& run) {
  return with_model(config, vocab, run, [&](const ParameterStore& parameters, const LanguageModel& model) {
    return summarise(parameters, model, config.data.sequence);
  });
}

}  // namespace moe
