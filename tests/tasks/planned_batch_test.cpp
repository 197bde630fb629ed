// Memory is planned with the tensors that the batches of each task have.
#include <filesystem>
#include <map>
#include <set>

#include "core/step/local_batch.h"
#include "core/tasks/classify_task.h"
#include "data/corpus_preparation.h"
#include "data/curriculum/curriculum.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;

// The names of the tensors of a batch. A new member of TokenBatch does not compile until it is considered here.
static std::set<std::string> tensors_of(const TokenBatch& batch) {
  const auto& [sequences, time, ids, targets, global_tokens, global_sequences, domains, losses, weights, labels,
               lengths, document_begins, document_ends, host_lengths, unscored, features, modalities, memory, first_row,
               cache, cache_rows, starts] =
      batch;  // the last three are of text that is written, and the losses of a backward pass; no plan has them
  const std::map<std::string, ConstTensor> all{{"ids", ids},
                                               {"targets", targets},
                                               {"domains", domains},
                                               {"weights", weights},
                                               {"labels", labels},
                                               {"lengths", lengths},
                                               {"features", features},
                                               {"document_begins", document_begins},
                                               {"document_ends", document_ends}};
  std::set<std::string> names;
  for (const auto& [name, tensor] : all) {
    if (tensor) names.insert(name);
  }
  return names;
}

// The same for what a task loads.
static std::set<std::string> arrays_of(const Batch& batch) {
  const auto& [sequences, length, modalities, inputs, targets, sample_ids, starts, domains, labels, lengths,
               document_begins, document_ends, prefix, features,
               patch_features] = batch;  // starts and prefix, like sample_ids, become no tensor
  std::set<std::string> names;
  if (!inputs.empty()) names.insert("ids");
  if (!targets.empty()) names.insert("targets");
  if (!domains.empty()) names.insert("domains");
  if (!labels.empty()) names.insert("labels");
  if (!lengths.empty()) names.insert("lengths");
  if (!features.empty()) names.insert("features");
  if (!document_begins.empty()) names.insert("document_begins");
  if (!document_ends.empty()) names.insert("document_ends");
  return names;
}

// A configuration on a few samples, by task or, for labelled ones, by their kind. A new one fails the test below until
// it is added.
static std::map<std::string, std::string> configurations(const TemporaryFolder& folder) {
  const std::string images = folder / "images", sounds = folder / "sounds", texts = folder / "texts";
  std::filesystem::create_directories(images);
  test::write_idx_folder(images, test::bright_quarters(20, 8, 1), test::bright_quarters(4, 8, 2));
  test::write_sound_folders(sounds, 6);
  std::filesystem::create_directories(texts);
  test::write_bytes(texts + "/train.tsv", "a\tone\nb\ttwo words\na\tthree\nb\tand four\n");
  const std::string names = folder / "names";
  std::filesystem::create_directories(names);
  for (const char* split : {"train", "validation"})
    test::write_bytes(names + "/" + split + ".tsv", "0\ttop left\n1\ttop right\n2\tlow left\n3\tlow right\n");
  const std::string numbered = folder / "numbered";
  test::write_numbered_sounds(numbered, 6);
  const std::string documents = folder / "documents";
  test::write_bytes(folder / "texts.jsonl",
                    "{\"text\": \"one of the documents\"}\n{\"text\": \"a\"}\n{\"text\": \"and another document\"}\n");
  PreparationOptions options;
  options.inputs = {folder / "texts.jsonl"};
  options.output = documents;
  options.split = "1/0/0";
  options.force = true;
  prepare_corpus(options);
  const std::string divided = "data: {{sequence: 8, path: {}, documents: {}}}";
  const std::string labelled = "task: classify, data: {{sequence: 16, path: {}, labelled: {{validation: 1}}}}";
  return {
      {"language_model", "data: {sequence: 16, synthetic: {states: 8, train_tokens: 2000, validation_tokens: 200}}"},
      {"separate documents", fmt::format(fmt::runtime(divided), documents, "separate")},
      {"documents that fit", fmt::format(fmt::runtime(divided), documents, "fit")},
      {"images", fmt::format(fmt::runtime(labelled), images)},
      {"sounds", fmt::format("task: classify, data: {{path: {}, audio: {{seconds: 0.2}}}}", sounds)},
      {"texts", fmt::format(fmt::runtime(labelled), texts)},
      {"pairs",
       fmt::format("task: pairs, data: {{sequence: 12, path: {}, pairs: {{second: {}}}, labelled: {{validation: "
                   "1}}}}",
                   images, names)},
      {"images with sounds",
       fmt::format("task: pairs, data: {{path: {}, pairs: {{second: {}}}, audio: {{seconds: 0.2}}, labelled: "
                   "{{validation: 1}}}}",
                   images, numbered)}};
}

// The configurations of a task: one for each kind of samples that it has.
static std::vector<std::string> kinds_of(const TaskKind& task) {
  if (task.name == std::string("classify")) return sample_kinds().names();
  if (task.name == std::string("pairs")) return {task.name, "images with sounds"};
  return {task.name, "separate documents", "documents that fit"};
}

TEST_CASE("memory is planned with every tensor that a batch of the task has") {
  const TemporaryFolder folder;
  for (const TaskKind& task : tasks()) {
    for (const std::string& kind : kinds_of(task)) {
      for (const char* sampler : {"uniform", "importance"}) {
        INFO(kind << ", " << sampler);
        const auto known = configurations(folder);
        REQUIRE(known.contains(kind));
        const TrainConfig config = config_from(
            fmt::format("{{model: {{layers: 1, d_model: 16, attention: {{heads: 2}}}}, moe: {{experts: 2, d_ff: 8}}, "
                        "train: {{batch: 3}}, curriculum: {{sampler: {}}}, {}}}",
                        sampler, known.at(kind)));
        REQUIRE(config.task == task.name);
        const std::unique_ptr<Task> opened = open_task(config);
        const ProcessGroups groups = ProcessGroups::single();
        const StateSetup setup{
            .config = config, .sample = opened->shape(), .groups = groups, .run = run_length(config, *opened)};
        TrainingState state(setup, plan_memory(setup), false);

        const std::vector<SampleVisit> visits{{0, 0}, {1, 0}, {2, 0}};
        const SampleExtent extent = opened->extent(visits);
        Batch batch;
        opened->load(visits, extent.time, batch);
        LocalBatch local = LocalBatch::of(batch, 0, 3);
        const std::vector<double> weights{1, 2, 3};
        if (draws_weights(config.curriculum)) local.weights = weights;
        BatchBuffers buffers;
        const TokenBatch real =
            to_device(state.ctx, local, {0, 3}, state.model->predictions_per_sample(batch.length), buffers);
        std::set<std::string> arrays = arrays_of(batch);
        if (draws_weights(config.curriculum)) arrays.insert("weights");
        CHECK(tensors_of(real) == arrays);
        CHECK(tensors_of(planned_batch(state.ctx, setup, *state.model, {})) == arrays);
      }
    }
  }
}
