// The whole configuration of a run.
#pragma once
#include "core/config/curriculum_config.h"
#include "core/config/init_config.h"
#include "core/config/model_config.h"
#include "core/config/moe_config.h"
#include "core/config/schedule_field.h"

namespace moe {

class Optimizer;
template <>
const Table<Member>& family<Optimizer>();

struct SyntheticDataConfig : Fields<SyntheticDataConfig> {
  int64_t states = 32;
  int64_t order = 1;
  double concentration = 0.1;
  int64_t seed = 1;
  int64_t train_tokens = 1'000'000;
  int64_t validation_tokens = 50'000;

  void fields(FieldVisitor& v) override {
    v.field("states", states, "vocabulary", {2, 4096});
    v.field("order", order, "a token depends on this many before it", {1, 8});
    v.field("concentration", concentration, "of the Dirichlet transition rows: small is predictable", {1e-6, 1e6});
    v.field("seed", seed, "of the source");
    v.field("train_tokens", train_tokens, "length of the training split", {2, 1'000'000'000});
    v.field("validation_tokens", validation_tokens, "length of the validation and the test split", {2, 100'000'000});
  }
};

struct LabelledDataConfig : Fields<LabelledDataConfig> {
  std::string format = "auto";
  int64_t validation = 5000;
  int64_t split_seed = 1;
  std::string tokenizer = "byte";
  std::string vocabulary;
  int64_t vocab_size = 0;
  int64_t min_count = 1;
  std::string clean = "none";
  std::string keep = "beginning";

  void fields(FieldVisitor& v) override {
    v.field("format", format,
            "of the folder's files; auto looks which there are. Images: idx, cifar10; texts: the others",
            {"auto", "idx", "cifar10", "sst2", "sst5", "imdb", "banking77", "tsv", "jsonl"});
    v.field(
        "validation", validation,
        "samples of the training files that are held out for validation, drawn at random; not where there are files "
        "for it",
        {0, 1LL << 40});
    v.field("split_seed", split_seed, "of that draw; the run's seed does not matter", {0, 1LL << 62});
    v.field("tokenizer", tokenizer,
            "of texts, made from the training texts; a run that starts from another (init.from) takes that one's",
            {"byte", "char", "word", "bpe", "sentencepiece"});
    v.field("vocabulary", vocabulary,
            "of bpe: the folder with GPT-2's encoder.json and vocab.bpe; of sentencepiece: a .model file");
    v.field("vocab_size", vocab_size, "of sentencepiece: pieces to learn, at most, where there is no .model file",
            {0, 1 << 24});
    v.field("min_count", min_count, "of word: rarer words are <unk>", {1, 1 << 30});
    v.field("clean", clean,
            "what is done to texts first: nothing, or what was done to text8: lower case, digits as words, a blank for "
            "all that is not a letter",
            {"none", "text8"});
    v.field("keep", keep, "which end of a text that is longer than data.sequence", {"beginning", "end"});
  }
};

struct AugmentConfig : Fields<AugmentConfig> {
  int64_t shift = 0;
  bool flip = false;

  void fields(FieldVisitor& v) override {
    v.field("shift", shift, "pixels that a training image is moved by at most, in each direction, anew in every epoch",
            {0, 1024});
    v.field("flip", flip, "mirror half of the training images, others in every epoch");
  }
};

struct DataConfig : Fields<DataConfig> {
  std::string path = "synthetic";
  int64_t sequence = 128;
  int64_t vocab_size = 0;
  std::string tokenizer;
  SyntheticDataConfig synthetic;
  LabelledDataConfig labelled;
  AugmentConfig augment;

  void fields(FieldVisitor& v) override {
    v.field("path", path,
            "a corpus made by moe-data, a .bin file of llm.c's format, a folder or pattern of such, or synthetic; for "
            "task: classify a folder of labelled samples");
    v.field("sequence", sequence,
            "tokens per training sequence: the context length; of labelled texts, class token included, the most; "
            "images decide "
            "their own",
            {1, 1 << 20});
    v.field("vocab_size", vocab_size, "of .bin files, which do not say it; 0 = the tokenizer's", {0, 1 << 24});
    v.field("tokenizer", tokenizer,
            "of .bin files, so that their text and its bytes are known: the folder with GPT-2's encoder.json and "
            "vocab.bpe, or a .model file of SentencePiece; empty = unknown");
    v.group("synthetic", synthetic, "A random Markov source of known entropy rate, for `path: synthetic`.");
    v.group("labelled", labelled, "Labelled samples, for `task: classify`.");
    v.group("augment", augment, "What is done to training images before they are shown.");
  }
};

struct TrainingConfig : Fields<TrainingConfig> {
  Duration steps = Duration::updates(1000);
  int64_t batch = 16;
  int64_t micro_batches = 1;
  ScheduleField learning_rate{Choice<Schedule>("cosine"), {0}};
  ScheduleField clip_norm{1, {0}};
  ScheduleField label_smoothing{0, {0, 0.99}};

  void fields(FieldVisitor& v) override {
    v.field("steps", steps, "length of the run, in updates, tokens or epochs");
    v.field("batch", batch, "sequences or labelled samples per update, over all ranks and micro-batches", {1, 1 << 24});
    v.field("micro_batches", micro_batches, "parts that a rank's share of the batch is computed in, to save memory",
            {1, 1 << 20});
    v.schedule("learning_rate", learning_rate, "The learning rate over the run.");
    v.schedule("clip_norm", clip_norm, "Largest global norm of the gradient, 0 = no clipping.");
    v.schedule(
        "label_smoothing", label_smoothing,
        "Share of a target that is spread over all classes or tokens; the loss that is told has none; a number or "
        "a schedule.");
  }
};

struct ParallelConfig : Fields<ParallelConfig> {
  int64_t expert = 0;
  int64_t threads = 0;
  std::string communication = "auto";

  void fields(FieldVisitor& v) override {
    v.field("expert", expert,
            "ranks that share one copy of the experts; the others are data parallel; 0 = as many as divide the ranks "
            "and have an expert each",
            {0, 1 << 20});
    v.field(
        "communication", communication,
        "how ranks on GPUs talk: nccl (one GPU for each rank), mpi (through host memory; ranks may share a GPU), auto "
        "takes nccl where it can",
        {"auto", "nccl", "mpi"});
    v.field("threads", threads, "threads per rank; 0 = cores / ranks of the host", {0, 4096});
  }
};

struct EvaluateConfig : Fields<EvaluateConfig> {
  Duration every = Duration::percent(10);
  int64_t tokens = 0;
  int64_t stride = 0;
  int64_t patience = 0;
  int64_t streams = 8;

  void fields(FieldVisitor& v) override {
    v.field("every", every,
            "distance of evaluations on the validation split, besides those at step 0 and the end; 0 = only those");
    v.field("tokens", tokens, "leading tokens, or labelled samples, of the split that are used; 0 = all",
            {0, 1LL << 50});
    v.field("stride", stride, "tokens scored per window of data.sequence; 0 = all of them", {0, 1 << 20});
    v.field("patience", patience,
            "early stopping: the run ends after so many evaluations without a new best; 0 = never", {0, 1 << 30});
    v.field("streams", streams,
            "with model.attention.memory: parts that a text is cut into and that are read side by side, each without a "
            "memory at its beginning; figures depend on it",
            {1, 1 << 20});
  }
};

struct CheckpointConfig : Fields<CheckpointConfig> {
  Duration every = Duration::percent(10);
  int64_t keep_last = 2;
  bool keep_best = true;

  void fields(FieldVisitor& v) override {
    v.field("every", every, "distance of checkpoints, besides the one at the end; 0 = only that one");
    v.field("keep_last", keep_last, "how many to keep", {1, 1 << 20});
    v.field("keep_best", keep_best, "keep the one with the best evaluation too");
  }
};

struct LogConfig : Fields<LogConfig> {
  Duration every = Duration::updates(10);

  void fields(FieldVisitor& v) override {
    v.field("every", every, "distance of lines in metrics.jsonl and on the console");
  }
};

struct SampleConfig : Fields<SampleConfig> {
  Duration every = Duration::updates(0);
  int64_t tokens = 200;
  std::string prompt;
  double temperature = 0.8;

  void fields(FieldVisitor& v) override {
    v.field("every", every, "distance of samples of generated text; 0 = none");
    v.field("tokens", tokens, "length of a sample", {1, 1 << 20});
    v.field("prompt", prompt, "what it goes on from; empty = the beginning of the validation split");
    v.field("temperature", temperature, "logits are divided by it; 0 = the most likely token", {0, 100});
  }
};

struct TrainConfig : Fields<TrainConfig> {
  std::string name = "run";
  std::string folder = "runs";
  std::string task = "language_model";
  int64_t seed = 1;
  std::string device = "auto";
  std::string precision = "auto";
  ModelConfig model;
  MoEConfig moe;
  InitConfig init;
  DataConfig data;
  CurriculumConfig curriculum;
  TrainingConfig train;
  Choice<Optimizer> optimizer{"adamw"};
  ParallelConfig parallel;
  EvaluateConfig evaluate;
  CheckpointConfig checkpoint;
  LogConfig log;
  SampleConfig sample;

  void fields(FieldVisitor& v) override {
    v.field("name", name, "of the run: its folder below `folder`");
    v.field("folder", folder, "where runs are kept");
    v.field("task", task, "language_model predicts the next token of a text, classify the label of a sample",
            {"language_model", "classify"});
    v.field("seed", seed, "of initial weights, data order, dropout and everything else that is drawn", {0, 1LL << 62});
    v.field("device", device, "auto takes a GPU if there is one", {"auto", "cpu", "cuda"});
    v.field(
        "precision", precision,
        "how weights and activations are stored: auto is bf16 (with f32 master weights) on a GPU and f32 on the CPU",
        {"auto", "f32", "bf16"});
    v.group("model", model, "The transformer.");
    v.group("moe", moe, "Experts, and how tokens find them.");
    v.group("init", init, "What the run starts from.");
    v.group("data", data, "What is learned from.");
    v.group("curriculum", curriculum, "Which samples a step is made of.");
    v.group("train", train, "Length, batch and learning rate.");
    v.choice("optimizer", optimizer, "How gradients change the parameters.");
    v.group("parallel", parallel, "Ranks and threads.");
    v.group("evaluate", evaluate, "Evaluation during training.");
    v.group("checkpoint", checkpoint, "What is saved and kept.");
    v.group("log", log, "Metrics.");
    v.group("sample", sample, "Samples of generated text.");
  }

  std::string run_folder() const { return folder + "/" + name; }
};

}  // namespace moe
