#include "core/convert/logits.h"

#include <algorithm>

#include "comm/self_communicator.h"
#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/token.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/convert/foreign_tensors.h"
#include "core/record/run_folder.h"
#include "core/step/local_batch.h"
#include "data/posix_file.h"
#include "data/tokenizer.h"

namespace moe {

TokenSequences read_sequences(const std::string& path) {
  TokenSequences sequences;
  try {
    for (const Json& sequence : parse_json(read_text(path))) {
      sequences.push_back(sequence.get<std::vector<int32_t>>());
      if (sequences.back().empty()) raise<DataError>("{}: sequence {} is empty", path, sequences.size() - 1);
    }
  } catch (const JsonError& error) {
    raise<DataError>("{}: {}; expected a list of lists of token ids", path, error.what());
  }
  if (sequences.empty()) raise<DataError>("{} holds no sequences", path);
  return sequences;
}

std::vector<int32_t> encode_file(const std::string& checkpoint, const std::string& path) {
  const TrainConfig config = load_run_config(checkpoint);
  const TaskKind& task = tasks().at(config.task);
  const Json description = read_description(config.task, checkpoint);
  const Json* tokenizer = task.tokenizer(description);
  if (!tokenizer) raise<UsageError>("{} has no tokenizer: it was not trained on text", checkpoint);
  std::vector<int32_t> ids;
  load_tokenizer(*tokenizer, checkpoint)->encode(read_text_file(path), ids);
  return ids;
}

LoadedRun load_for_logits(const std::string& run_or_checkpoint, const std::string& which, int64_t longest,
                          const std::string& device) {
  const std::string checkpoint = find_checkpoint(run_or_checkpoint, which);
  std::vector<std::string> settings;
  if (load_run_config(checkpoint).data.sequence < longest) settings.push_back(fmt::format("data.sequence={}", longest));
  return load_run(run_or_checkpoint, which, std::make_shared<SelfCommunicator>(), 0, 1,
                  choose_device(device, "f32", {}), settings);
}

std::vector<float> logits_of(LoadedRun& run, const std::vector<int32_t>& ids) {
  Context& ctx = run.state->ctx;
  const int64_t time = std::ssize(ids), vocab = run.state->model->head().classes();
  if (time > run.config.data.sequence)
    raise<DataError>("a sequence of {} tokens: the model was loaded for {}", time, run.config.data.sequence);
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) raise<DataError>("token {} is outside of the vocabulary of {}", id, vocab);
  }
  const ModeScope modes(ctx, {.training = false, .observe = false});
  const std::vector<int32_t> targets(ids.size(), kIgnoreTarget);
  BatchBuffers buffers;
  ctx.activations->reset();
  ctx.scratch->reset();
  const LocalBatch host{.sequences = 1, .time = time, .inputs = ids, .targets = targets, .global_sequences = 1};
  run.state->model->forward(ctx, to_device(ctx, host, {0, 1}, time, buffers));
  std::vector<float> all;
  run.state->model->append_logits(ctx, 0, time, all);
  return all;
}

void write_logits(LoadedRun& run, const TokenSequences& sequences, const std::string& path) {
  std::vector<StreamedTensor> tensors;
  const int64_t vocab = run.state->model->head().classes();
  for (size_t i = 0; i < sequences.size(); ++i) {
    tensors.push_back({fmt::format("logits.{}", i), Shape{std::ssize(sequences[i]), vocab},
                       [&run, &sequence = sequences[i]] { return logits_of(run, sequence); }});
  }
  write_tensor_file(path, tensors);
}

}  // namespace moe
