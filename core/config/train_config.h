// The whole configuration of a run.
#pragma once
#include "core/config/audio_config.h"
#include "core/config/config_versions.h"
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

  void fields(FieldVisitor& v) override;
};

struct LabelledDataConfig : Fields<LabelledDataConfig> {
  std::string format = "auto";
  int64_t validation = 5000;
  int64_t split_seed = 1;
  std::vector<std::string> classes;
  std::string tokenizer = "byte";
  std::string vocabulary;
  std::string pattern;
  int64_t vocab_size = 0;
  int64_t min_count = 1;
  std::string clean = "none";
  std::string keep = "beginning";

  void fields(FieldVisitor& v) override;
};

struct MixtureConfig : Fields<MixtureConfig> {
  std::vector<std::string> with;
  std::vector<double> weights;
  std::vector<double> final_weights;
  ScheduleField change{0, {0, 1}};

  void fields(FieldVisitor& v) override;
};

struct RetrievalConfig : Fields<RetrievalConfig> {
  std::string neighbours;
  int64_t length = 64;

  void fields(FieldVisitor& v) override;
};

struct PairsDataConfig : Fields<PairsDataConfig> {
  std::string second;

  void fields(FieldVisitor& v) override;
};

struct AugmentConfig : Fields<AugmentConfig> {
  int64_t shift = 0;
  bool flip = false;
  double time_shift = 0;
  double snr = 0;
  double mask_time = 0;
  int64_t mask_bands = 0;

  void fields(FieldVisitor& v) override;
};

inline constexpr const char* kSyntheticData = "synthetic";  // for data.path: no files

struct DataConfig : Fields<DataConfig> {
  std::string path = kSyntheticData;
  std::string path_absolute;
  int64_t sequence = 128;
  std::string documents = "joined";
  int64_t vocab_size = 0;
  int64_t seed = -1;
  std::string tokenizer;
  std::string pattern;
  std::string tokenizer_absolute;
  SyntheticDataConfig synthetic;
  MixtureConfig mixture;
  RetrievalConfig retrieval;
  LabelledDataConfig labelled;
  PairsDataConfig pairs;
  AudioConfig audio;
  AugmentConfig augment;

  // Where the data and the tokenizer are: as they were found (core/config/input_paths.h), or else as they were given.
  const std::string& location() const { return path_absolute.empty() ? path : path_absolute; }
  const std::string& tokenizer_location() const { return tokenizer_absolute.empty() ? tokenizer : tokenizer_absolute; }
  // Tokens of a text's samples: a retrieved prefix, if there is one, and the window.
  int64_t places() const { return sequence + (retrieval.neighbours.empty() ? 0 : retrieval.length); }
  // Other data than the configured.
  void use(const std::string& other_path) { path = other_path, path_absolute.clear(), mixture = {}; }

  void fields(FieldVisitor& v) override;
};

struct TrainingConfig : Fields<TrainingConfig> {
  Duration steps = Duration::updates(1000);
  std::string extend = "refuse";
  Duration time_limit = Duration::seconds(0);
  int64_t batch = 16;
  int64_t micro_batches = 1;
  ScheduleField learning_rate{Choice<Schedule>("cosine"), {0}};
  ScheduleField clip_norm{1, {0}};
  ScheduleField label_smoothing{0, {0, 0.99}};

  void fields(FieldVisitor& v) override;
};

class Placement;
template <>
const Table<Member>& family<Placement>();

struct ParallelConfig : Fields<ParallelConfig> {
  int64_t expert = 0;
  int64_t threads = 0;
  bool hardware_threads = false;
  double timeout = 60;
  bool end_if_stopped = false;
  std::string communication = "auto";
  bool reduce_during_backward = true;
  std::string reduce_in = "f32";
  int64_t bucket = int64_t{1} << 22;
  Choice<Placement> placement{"contiguous"};
  int64_t replicas = 0;
  int64_t overlap = 1;
  std::string all_to_all = "auto";

  void fields(FieldVisitor& v) override;
};

struct EvaluateConfig : Fields<EvaluateConfig> {
  Duration every = Duration::percent(10);
  int64_t tokens = 0;
  int64_t stride = 0;
  int64_t patience = 0;
  int64_t streams = 8;

  void fields(FieldVisitor& v) override;
};

struct CheckpointConfig : Fields<CheckpointConfig> {
  Duration every = Duration::percent(10);
  int64_t keep_last = 2;
  bool keep_best = true;

  void fields(FieldVisitor& v) override;
};

struct LogConfig : Fields<LogConfig> {
  Duration every = Duration::updates(10);
  Duration communication = Duration::updates(0);
  bool tensorboard = false;

  void fields(FieldVisitor& v) override;
};

struct TraceConfig : Fields<TraceConfig> {
  Duration every = Duration::updates(0);
  int64_t tokens = 0;
  bool logits = false;
  std::string of = "training";

  void fields(FieldVisitor& v) override;
};

struct SampleConfig : Fields<SampleConfig> {
  Duration every = Duration::updates(0);
  int64_t tokens = 200;
  std::string prompt;
  double temperature = 0.8;

  void fields(FieldVisitor& v) override;
};

struct TrainConfig : Fields<TrainConfig> {
  // Defined in the .cpp: inline, they are compiled in each file that holds a configuration.
  TrainConfig();
  TrainConfig(const TrainConfig&);
  TrainConfig& operator=(const TrainConfig&);
  ~TrainConfig() override;

  int64_t config_version = kConfigVersion;
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
  TraceConfig trace;
  SampleConfig sample;

  void fields(FieldVisitor& v) override;

  std::string run_folder() const { return folder + "/" + name; }
  // The seed of the order of the samples.
  int64_t data_seed() const { return data.seed >= 0 ? data.seed : seed; }
};

}  // namespace moe
