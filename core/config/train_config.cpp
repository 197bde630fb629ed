#include "core/config/train_config.h"

#include <string>

#include "core/base/text.h"
#include "core/base/words.h"
#include "core/config/all_to_all.h"

namespace moe {

struct LabelledFormat;
struct TaskKind;
struct TextCleaning;
struct TokenizerEntry;
template <>
std::vector<std::string> words_of<LabelledFormat>();  // "auto" first
template <>
std::vector<std::string> words_of<TaskKind>();
template <>
std::vector<std::string> words_of<TextCleaning>();
template <>
std::vector<std::string> words_of<TokenizerEntry>();  // those that can be made from texts

void SyntheticDataConfig::fields(FieldVisitor& v) {
  v.field("states", states, "size of the vocabulary", {2, 4096});
  v.field("order", order, "number of previous tokens that a token depends on", {1, 8});
  v.field("concentration", concentration,
          "concentration of the Dirichlet distribution of transition rows; small = predictable text", {1e-6, 1e6});
  v.field("seed", seed, "seed of the Markov source, independent of the run's seed");
  v.field("train_tokens", train_tokens, "length of the training split, in tokens", {2, 1'000'000'000});
  v.field("validation_tokens", validation_tokens, "length of the validation split and of the test split, in tokens",
          {2, 100'000'000});
}

void LabelledDataConfig::fields(FieldVisitor& v) {
  v.field(
      "format", format,
      "format of the folder's files; auto detects it. idx and cifar10 are images, sound_folders are sounds, the others "
      "texts",
      words_of<LabelledFormat>());
  v.field("validation", validation,
          "number of randomly drawn samples of the training files that are held out for validation; unused if there "
          "are validation files",
          {0, 1LL << 40});
  v.field("split_seed", split_seed, "seed of the draw of held-out samples, independent of the run's seed",
          {0, 1LL << 62});
  v.field("classes", classes,
          "names of the only classes whose samples are used, in the order of their numbers (those of images are "
          "numbers: [5, 6]); empty = all");
  static const std::string tokenizer_help =
      "tokenizer of texts, built from the training texts: " + join(words_of<TokenizerEntry>(), ", ") +
      ", or another program's file or folder; a run that starts from another run (init.from) uses that run's tokenizer";
  v.field("tokenizer", tokenizer, tokenizer_help.c_str());
  v.field(
      "vocabulary", vocabulary,
      "for tokenizer bpe: the folder with GPT-2's encoder.json and vocab.bpe; for sentencepiece: a .model file; for "
      "huggingface: a tokenizer.json; for tiktoken: a file of tokens and ranks");
  v.field("pattern", pattern,
          "for tokenizer tiktoken: how a text is cut into words; gpt2, cl100k, o200k or a regular expression");
  v.field("vocab_size", vocab_size,
          "for tokenizers sentencepiece and bpe without a vocabulary: maximum number of pieces to learn", {0, 1 << 24});
  v.field("min_count", min_count, "for tokenizer word: words with fewer occurrences become <unk>", {1, 1 << 30});
  v.field("clean", clean,
          "cleaning of texts before tokenization: none, or text8 = lower case, digits as words, a blank for "
          "everything that is not a letter",
          words_of<TextCleaning>());
  v.field("keep", keep, "which end of a text longer than data.sequence is kept", {"beginning", "end"});
}

void MixtureConfig::fields(FieldVisitor& v) {
  v.field(
      "with", with,
      "folders of further prepared corpora with the tokenizer of data.path, from which samples are drawn too; empty "
      "= data.path alone");
  v.field(
      "weights", weights,
      "shares of the samples from data.path and from each corpus of `with`, in this order; they are divided by their "
      "sum; empty = in proportion to the corpora's numbers of samples");
  v.field("final_weights", final_weights,
          "the weights towards which `change` moves; empty = the weights stay as they are");
  v.schedule("change", change,
             "How far the weights have moved from `weights` (0) to `final_weights` (1) over the run.");
}

void RetrievalConfig::fields(FieldVisitor& v) {
  v.field(
      "neighbours", neighbours,
      "folder that moe-retrieve neighbours made for the corpus of data.path: before each window, in training and in "
      "evaluation, the model reads what the training text has at the place that is most like the text before the "
      "window; empty = no retrieval");
  v.field("length", length,
          "tokens of such a prefix, which are not predicted; a sample is that much longer than "
          "data.sequence",
          {1, 1 << 20});
}

void PairsDataConfig::fields(FieldVisitor& v) {
  v.field(
      "second", second,
      "folder of labelled texts, sounds or images, with the splits of the images or sounds in data.path and classes of "
      "the same names: the second parts of pairs. Each first part is paired with a second part of its class that is "
      "drawn again in every epoch");
}

void AugmentConfig::fields(FieldVisitor& v) {
  v.field("shift", shift, "maximum shift of a training image in pixels, in each direction; drawn again in every epoch",
          {0, 1024});
  v.field("flip", flip, "mirror each training image with probability 1/2; drawn again in every epoch");
  v.field("time_shift", time_shift,
          "maximum shift of a training sound in milliseconds, in either direction; drawn again in every epoch",
          {0, 600'000});
  v.field(
      "snr", snr,
      "lowest ratio, in decibels, of a training sound's loudest value to white noise that is added to it. The ratio "
      "is drawn in every epoch, from this to data.audio.range; 0 = no noise",
      {0, 200});
  v.field("mask_time", mask_time,
          "greatest length in milliseconds of a stretch of a training sound that is replaced by the mean "
          "(SpecAugment); its length and place are drawn in every epoch; 0 = none",
          {0, 600'000});
  v.field("mask_bands", mask_bands,
          "greatest number of adjacent mel bands of a training sound that are replaced by the mean (SpecAugment), "
          "drawn likewise; 0 = none",
          {0, 512});
}

void DataConfig::fields(FieldVisitor& v) {
  v.field("path", path,
          "training data: a corpus written by moe-data, a .bin file in llm.c's format, a folder or pattern of .bin "
          "files, or synthetic; with task: classify, a folder of labelled samples. It is looked for in the current "
          "folder, then in the folder of the configuration file");
  v.field("path_absolute", path_absolute,
          "where data.path was found; a run writes it for evaluations from other folders, what is set here is ignored");
  v.field("sequence", sequence,
          "tokens per training sequence: the context length; of labelled texts, class token included, the most; "
          "images and sounds "
          "decide their own",
          {1, 1 << 20});
  v.field(
      "documents", documents,
      "how the documents of a prepared text are treated: joined = as one text, whose windows extend over several of "
      "them; separate = in the same windows a token attends only to its own document, in which positions begin at 0, "
      "and a document's first token is not predicted; fit = a window is a part of one document, padded to the "
      "longest one of the batch",
      {"joined", "separate", "fit"});
  v.field("vocab_size", vocab_size, "vocabulary size for .bin files, which do not contain it; 0 = the tokenizer's size",
          {0, 1 << 24});
  v.field(
      "seed", seed,
      "seed of the order of the samples and of their augmentation; -1 = the run's seed. Runs with different seeds but "
      "the same data.seed differ in initial weights and dropout, and read the same samples in every update",
      {-1, 1LL << 62});
  v.field("tokenizer", tokenizer,
          "tokenizer of .bin files, from which their text and byte counts are derived: the folder with GPT-2's "
          "encoder.json and vocab.bpe, a .model file of SentencePiece, a tokenizer.json, a file of tiktoken, a "
          "checkpoint or "
          "a prepared corpus; empty = unknown");
  v.field(
      "pattern", pattern,
      "for a data.tokenizer of tiktoken: how a text is cut into words; gpt2, cl100k, o200k or a regular expression");
  v.field("tokenizer_absolute", tokenizer_absolute, "where data.tokenizer was found, like data.path_absolute");
  v.group("synthetic", synthetic, "A random Markov source of known entropy rate, for `path: synthetic`.");
  v.group("mixture", mixture, "Samples from several corpora, with weights that may change over the run.");
  v.group("retrieval", retrieval, "Windows of a text that begin with a retrieved prefix.");
  v.group("labelled", labelled, "Labelled samples, for `task: classify` and `task: pairs`.");
  v.group("pairs", pairs, "Pairs of an image or sound and a text, sound or image, for `task: pairs`.");
  v.group("audio", audio, "The spectrogram of labelled sounds.");
  v.group("augment", augment, "Augmentation of training images and sounds.");
}

void TrainingConfig::fields(FieldVisitor& v) {
  v.field("steps", steps, "length of the run, in updates (2000), tokens (5Mt) or epochs (3e)");
  v.field("extend", extend,
          "what happens when a run is resumed with another length: refuse = it is refused if a schedule or another "
          "length depends on it; keep_schedule = all schedules and shares of the run keep the length for which they "
          "were planned, and updates past it have the final values; stretch = they are computed for the new length, so "
          "that the learning rate may jump",
          {"refuse", "keep_schedule", "stretch"});
  v.field("time_limit", time_limit,
          "wall time after which the process saves a checkpoint and ends with exit code 143, as after SIGTERM; counted "
          "from its start, for batch queues; it ends early enough for the longest update and checkpoint so far; 0 = no "
          "limit",
          Lengths::wall_time);
  v.field("batch", batch, "number of sequences or labelled samples per update, over all ranks and micro-batches",
          {1, 1 << 24});
  v.field("micro_batches", micro_batches,
          "number of parts into which a rank's share of the batch is split to save memory; more parts need less memory",
          {1, 1 << 20});
  v.schedule("learning_rate", learning_rate, "The learning rate over the run.");
  v.schedule("clip_norm", clip_norm, "Gradient clipping: maximum global norm of the gradient; 0 = no clipping.");
  v.schedule("label_smoothing", label_smoothing,
             "Label smoothing: share of the target's probability that is spread over all classes or tokens; the "
             "reported loss is computed without it.");
}

void ParallelConfig::fields(FieldVisitor& v) {
  v.field("expert", expert,
          "size of an expert-parallel group: number of ranks that share one copy of the experts; groups are data "
          "parallel to each other; 0 = the largest number that divides the ranks of every host and gives each rank an "
          "expert",
          {0, 1 << 20});
  v.field("communication", communication,
          "how ranks on GPUs communicate: nccl (one GPU per rank), mpi (through host memory; ranks may share a GPU), "
          "auto = nccl if possible",
          {"auto", "nccl", "mpi"});
  v.choice("placement", placement, "Which ranks of an expert-parallel group hold which experts.");
  v.field(
      "replicas", replicas,
      "number of copies of other ranks' experts that each rank has room for in every layer: when experts are placed "
      "(`placement: load` or `co_activation`), those with the most rows get copies, and their tokens are divided "
      "among the ranks that hold them; costs memory for the weights and gradients of the copies, and messages in "
      "every update; 0 = no copies",
      {0, 1024});
  v.field(
      "all_to_all", all_to_all,
      "how an MoE layer's rows travel between ranks on several hosts: direct = to the ranks of their experts; "
      "hierarchical = once to each host with an expert that the token chose, and on from there; auto = hierarchical "
      "where hosts have equal numbers of an expert group's ranks and tokens choose several experts",
      all_to_all_values());
  v.field(
      "overlap", overlap,
      "number of parts in which an MoE layer's rows travel between ranks: one part is sent while another is computed, "
      "and shared experts are computed while the first is sent; at most as many parts as any rank has experts; 1 = "
      "rows are waited for",
      {1, 16});
  v.field(
      "threads", threads,
      "number of threads per rank; 0 = physical cores / ranks of the host, or fewer where a mask or a cgroup's quota "
      "allows fewer",
      {0, 4096});
  v.field("hardware_threads", hardware_threads, "count each hardware thread of a core as a core (with threads: 0)");
  v.field("reduce_during_backward", reduce_during_backward,
          "add the gradients over the ranks while backward still computes others; false = afterwards");
  v.field(
      "reduce_in", reduce_in,
      "what gradients are sent as when they are added over the ranks: f32, or bf16, which halves the bytes and rounds "
      "each rank's gradients and their sums",
      {"f32", "bf16"});
  v.field("bucket", bucket, "number of elements of gradients that are sent together", {1, 1LL << 30});
  v.field("timeout", timeout,
          "seconds after which a host of the job that no longer answers ends the job; slow ranks are no such host. 0 = "
          "only MPI and the kernel decide, which takes minutes",
          {0, 86400});
  v.field(
      "end_if_stopped", end_if_stopped,
      "whether a rank whose process or machine is stopped for that time ends the job too (false: it is waited for)");
}

void EvaluateConfig::fields(FieldVisitor& v) {
  v.field("every", every,
          "interval of evaluations on the validation split, in addition to those at step 0 and at the end; 0 = only "
          "those two");
  v.field("tokens", tokens, "number of leading tokens, or labelled samples, of the split that are evaluated; 0 = all",
          {0, 1LL << 50});
  v.field("stride", stride, "number of tokens scored per window of data.sequence tokens; 0 = all of them",
          {0, 1 << 20});
  v.field("patience", patience,
          "early stopping: number of evaluations without a new best after which the run ends; 0 = never", {0, 1 << 30});
  v.field("streams", streams,
          "with model.attention.memory: number of parts that a text is cut into and that are evaluated in parallel, "
          "each starting with an empty memory; results depend on it",
          {1, 1 << 20});
}

void CheckpointConfig::fields(FieldVisitor& v) {
  v.field("every", every,
          "interval of checkpoints, in addition to the one at the end; in wall time, the first update that ends after "
          "it is saved; 0 = only the one at the end",
          Lengths::either);
  v.field("keep_last", keep_last, "number of latest checkpoints to keep", {1, 1 << 20});
  v.field("keep_best", keep_best, "also keep the checkpoint with the best evaluation");
}

void LogConfig::fields(FieldVisitor& v) {
  v.field("every", every, "interval of lines in metrics.jsonl and on the console");
  v.field("communication", communication,
          "interval of updates whose communication between ranks is recorded in metrics.jsonl: bytes, messages and "
          "seconds by kind and layer; 0 = none. A recorded update takes a few messages more");
  v.field("tensorboard", tensorboard,
          "also write the scalars of metrics.jsonl to event files of TensorBoard in the run's folder");
}

void TraceConfig::fields(FieldVisitor& v) {
  v.field("every", every,
          "interval of updates whose routing is written into the folder trace/ of the run: the experts and weights of "
          "every "
          "token in "
          "every MoE block; with of: validation any interval but 0 traces every evaluation; 0 = no trace");
  v.field("tokens", tokens,
          "number of leading tokens of the batch or of the evaluated text that are traced, padding included; 0 = all",
          {0, 1LL << 40});
  v.field("logits", logits, "also write the router's logits of all experts");
  v.field(
      "of", of,
      "what is traced: training = the batch of an update, validation = the text of each evaluation, which is always "
      "the same, so that the traces show how the routing of a token changes",
      {"training", "validation"});
}

void SampleConfig::fields(FieldVisitor& v) {
  v.field("every", every, "interval of samples of generated text; 0 = none");
  v.field("tokens", tokens, "length of a sample, in tokens", {1, 1 << 20});
  v.field("prompt", prompt, "text that the sample continues; empty = the beginning of the validation split");
  v.field("temperature", temperature,
          "sampling temperature, the divisor of the logits; 0 = always the most likely token", {0, 100});
}

TrainConfig::TrainConfig() = default;
TrainConfig::TrainConfig(const TrainConfig&) = default;
TrainConfig& TrainConfig::operator=(const TrainConfig&) = default;
TrainConfig::~TrainConfig() = default;

void TrainConfig::fields(FieldVisitor& v) {
  v.field("config_version", config_version,
          "version whose meanings the other keys have; 1 = those up to version 0.2.0 of the program: ours for every "
          "`form`, and `arrangement: glam` begins with a dense block. A run keeps its version",
          {1, kConfigVersion});
  v.field("name", name, "name of the run and of its folder below `folder`");
  v.field("folder", folder, "folder in which runs are stored");
  v.field(
      "task", task,
      "what is learned: language_model = predict the next token of a text; classify = predict the label of a sample",
      words_of<TaskKind>());
  v.field("seed", seed, "seed of initial weights, data order, dropout and all other random numbers", {0, 1LL << 62});
  v.field("device", device, "device to compute on; auto = a GPU if there is one, else the CPU",
          {"auto", "cpu", "cuda"});
  v.field(
      "precision", precision,
      "auto = bf16 on a GPU, f32 on the CPU; bf16 = weights and activations in bf16 with f32 master weights on a "
      "GPU; on the CPU everything is stored in f32, and the operands of large products are rounded to bf16, which is "
      "several times as fast with AMX",
      {"auto", "f32", "bf16"});
  v.group("model", model, "The transformer.");
  v.group("moe", moe, "Experts and routing.");
  v.group("init", init, "Initial weights of the run.");
  v.group("data", data, "Training data.");
  v.group("curriculum", curriculum, "Which samples form a step.");
  v.group("train", train, "Length, batch and learning rate.");
  v.choice("optimizer", optimizer, "How gradients change the parameters.");
  v.group("parallel", parallel, "Ranks and threads.");
  v.group("evaluate", evaluate, "Evaluation during training.");
  v.group("checkpoint", checkpoint, "Which checkpoints are saved and kept.");
  v.group("log", log, "Metrics.");
  v.group("trace", trace, "Traces of the routing, token by token.");
  v.group("sample", sample, "Samples of generated text.");
}

}  // namespace moe
