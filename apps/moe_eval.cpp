// moe-eval: computes the loss or accuracy of a trained model. Prints one bare number on standard output, everything
// else on standard error.
#include <algorithm>
#include <functional>
#include <iostream>
#include <iterator>
#include <optional>

#include "apps/command_line.h"
#include "comm/peer_watch.h"
#include "comm/rank_texts.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/evaluate/confusion.h"
#include "core/evaluate/evaluator.h"
#include "core/evaluate/source_losses.h"
#include "core/generate/multiple_choice.h"
#include "core/generate/token_table.h"
#include "core/inspect/variation_report.h"
#include "core/record/run_folder.h"
#include "core/reload/load_run.h"
#include "core/step/cpu_setup.h"
#include "data/posix_file.h"
#include "data/tokenizer.h"

using namespace moe;

// The variations to evaluate besides the model as it was trained.
struct Varied {
  std::vector<int64_t> k, experts;
  std::vector<std::string> routers, requests;
  bool knock_out = false;
  std::string html;

  void add_options(CommandLine& app) {
    app.add_option("--k", k, "also evaluate with these numbers of experts per token: a list like 1,2,4").delimiter(',');
    app.add_option("--experts", experts,
                   "also evaluate with only the N busiest experts of each layer, for each N of a list")
        .delimiter(',');
    app.add_option(
           "--router", routers,
           "also evaluate with other routers: ones without learned parameters (random, uniform, hash) or the oracle, "
           "which chooses by the loss itself and takes one evaluation per expert and layer; a list")
        .delimiter(',');
    app.add_option("--vary", requests,
                   "also evaluate with other settings: KEY=V1|V2|..., where KEY is a configuration key");
    app.add_flag("--knock-out", knock_out, "also evaluate without each expert of each layer in turn");
    app.add_option("--html", html, "write a web page that compares the evaluations to this file");
  }
  bool any() const { return !k.empty() || !experts.empty() || !routers.empty() || !requests.empty() || knock_out; }
  bool asks_oracle() const { return std::find(routers.begin(), routers.end(), kOracle) != routers.end(); }
  // Returns one setting per variation.
  std::vector<std::string> settings(const TrainConfig& config) const {
    std::vector<std::string> list;
    for (const int64_t n : k) list.push_back(fmt::format("moe.router.k={}", n));
    for (const std::string& router : routers) {
      if (router != kOracle) list.push_back(router_setting(router, config));
    }
    for (const std::string& request : requests) {
      for (std::string& setting : settings_of(request)) list.push_back(std::move(setting));
    }
    return list;
  }
};

// A text or questions that are given directly, without a corpus.
struct Given {
  std::string text, choices, delimiter = " ";
  bool per_token = false;

  void add_options(CommandLine& app) {
    app.add_option("--text", text, "evaluate the text of this file; - for standard input");
    app.add_flag("--per-token", per_token,
                 "with --text: print each token with its nats, the prediction's entropy, its rank and its experts, as "
                 "tab-separated values");
    app.add_option("--choices", choices,
                   "answer the multiple-choice questions of this file: JSON lines with \"prompt\", \"choices\" and "
                   "\"answer\" (an index from 0, or one of the choices)");
    app.add_option("--delimiter", delimiter, "text between a question's prompt and each choice").capture_default_str();
  }
  bool any() const { return !text.empty() || !choices.empty(); }
  // Throws UsageError.
  void check(bool others) const {
    if (per_token && text.empty()) throw UsageError("--per-token needs --text");
    if (!text.empty() && !choices.empty()) throw UsageError("--text and --choices are two evaluations; give one");
    if (any() && others) {
      throw UsageError(
          "--text and --choices bring what is evaluated; leave out --data, --split, --tokens, --streams, --noise and "
          "the "
          "options "
          "for further evaluations");
    }
  }
};

// The options of the command line.
struct Options {
  std::string path, which = "last", metric, split = "test", data, device = "auto", precision = "run";
  EvaluationOptions evaluation{.sequences = 8};
  int64_t expert_parallel = 0;
  int threads = 0;
  bool json = false, probe = false, by_source = false, by_class = false;
  Varied varied;
  Given given;

  void add_to(CommandLine& app) {
    app.add_option("run", path, "folder of a run or of a checkpoint").required();
    app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
    app.add_option("--metric", metric,
                   "metric to print: " + join(metrics().names(), ", ") + "; default: bpc, for a classifier accuracy");
    app.add_option("--split", split, "train, validation or test").capture_default_str();
    app.add_option("--data", data, "path of other data than the run's");
    app.add_option("--context", evaluation.context,
                   "tokens per window; default: the training length. Longer ones need positions that go on (rope, "
                   "relative, none)");
    app.add_option("--stride", evaluation.stride,
                   "tokens scored per window, the others only serve as context; default: all");
    app.add_option("--streams", evaluation.streams,
                   "for a model with a context memory: number of parts that the text is cut into and read in parallel; "
                   "default: the run's "
                   "evaluate.streams");
    app.add_option("--tokens", evaluation.tokens, "leading tokens, or labelled samples, of the split; default: all");
    app.add_option("--noise", evaluation.noise,
                   "Gaussian noise on images: its standard deviation, relative to the pixels' range")
        .between_numbers(0, 10);
    app.add_option("--batch", evaluation.sequences, "windows or samples per forward pass; affects only the speed")
        .capture_default_str()
        .positive();
    app.add_option("--expert-parallel", expert_parallel,
                   "number of ranks that share the experts; default: the largest possible number");
    app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
    add_device_options(app, device, precision);
    app.add_flag("--json", json, "print everything as one JSON object");
    app.add_flag("--by-source", by_source, "also print the loss by the input file of each predicted token");
    app.add_flag("--by-class", by_class,
                 "for a classifier: also print the accuracy by class, and what each class is taken for");
    app.add_flag("--probe-causality", probe,
                 "also measure whether a token's loss depends on later tokens or on other windows");
    varied.add_options(app);
    given.add_options(app);
  }
  // Refuses what can be refused before the run is loaded, which may take long. Throws UsageError.
  void check() const {
    if (!varied.html.empty() && !varied.any())
      throw UsageError("--html needs several evaluations; add --k, --experts, --router, --vary or --knock-out");
    if (!metric.empty()) metrics().at(metric);
    given.check(varied.any() || probe || by_source || by_class || !data.empty() || split != "test" ||
                evaluation.tokens > 0 || evaluation.streams > 0 || evaluation.noise > 0);
  }
  // The metric to print, one of those that the task offers.
  const Metric& chosen_metric(std::span<const char* const> offered) const {
    if (metric.empty()) return metrics().at(offered.front());
    const Metric& chosen = metrics().at(metric);
    if (std::find(offered.begin(), offered.end(), metric) == offered.end())
      raise<UsageError>("--metric {}: this model has {}", metric,
                        join(std::vector<std::string>(offered.begin(), offered.end()), ", "));
    return chosen;
  }
};

// Loads the run with further settings ("key=value") applied to its configuration.
using Loader = std::function<LoadedRun(const std::vector<std::string>& settings)>;

// What is evaluated, and on which samples.
struct Subject {
  LoadedRun& run;
  const Task& task;
  const EvaluationSet& set;
};

static std::vector<VariedEvaluation> evaluate_variations(const Options& options, const Subject& subject,
                                                         const Loader& load, bool first) {
  const Varied& varied = options.varied;
  LoadedRun& run = subject.run;
  const Variations variations(subject.task, subject.set, options.evaluation.sequences);
  std::vector<VariedEvaluation> all{variations.evaluate("as trained", run)};
  for (const int64_t count : varied.experts) {
    if (all.size() > 1) variations.evaluate("as trained", run);  // the next call uses its loads
    all.push_back(variations.with_busiest(run, count));
  }
  if (varied.knock_out) {
    for (VariedEvaluation& e : variations.without_each_expert(run)) all.push_back(std::move(e));
  }
  if (varied.asks_oracle()) {
    all.push_back(variations.in_hindsight(run));
    if (first) log::warn("oracle: its experts are chosen by the loss itself, so its results do not measure prediction");
  }
  for (const std::string& setting : varied.settings(run.config)) {
    run.state.reset();  // keep only one model in memory
    run = load({setting});
    all.push_back(variations.evaluate(setting, run));
  }
  return all;
}

static void print_variations(const Options& options, const std::string& note,
                             const std::vector<VariedEvaluation>& all) {
  log::info("{}", note);
  std::cout << (options.json ? json_text_replacing(variation_json(all)) + "\n" : variation_text(all)) << std::flush;
  if (!options.varied.html.empty())
    replace_shared_text(options.varied.html, variation_html(all, "What routing contributes", note));
}

static std::string note_on(const std::string& checkpoint, const Options& options, const Task& task, double tokens) {
  return fmt::format("{} | {} split of {} | {:.0f} predictions", checkpoint, options.split, task.data_name(), tokens);
}

// The evaluation of the run as it was trained.
struct Result {
  Evaluation evaluation;
  Causality causality;                // by the model's configuration
  std::optional<Causality> measured;  // with --probe-causality
  std::vector<SourceLoss> sources;    // with --by-source
  ConfusionCounts confusion;          // with --by-class
};

static Result evaluate_as_trained(const Options& options, const Subject& subject) {
  TrainingState& state = *subject.run.state;
  std::optional<SourceLosses> sources;
  std::optional<Confusion> confusion;
  RoundVisitor visit;
  if (options.by_source) {
    sources.emplace(state.ctx, subject.set, std::ssize(subject.task.source_names(options.split)));
    visit = [&](int64_t first, const Outcome& outcome) { sources->add(first, outcome.losses); };
  }
  if (options.by_class) {
    confusion.emplace(state, std::ssize(subject.task.class_names()));
    visit = [&](int64_t first, const Outcome& outcome) {
      if (sources) sources->add(first, outcome.losses);
      confusion->add(outcome);
    };
  }
  Result result{evaluate(state, subject.run.groups, subject.set, options.evaluation.sequences, visit),
                state.model->causality(),
                {},
                {},
                {}};
  if (confusion) result.confusion = confusion->counts(*subject.run.groups.world);
  if (sources) result.sources = sources->sums(*subject.run.groups.world);
  result.evaluation.metrics = subject.task.metrics();
  if (options.probe) result.measured = subject.task.measure_causality(state, options.split, options.evaluation);
  if (options.metric == "bpb" && !result.evaluation.raw_bytes) {
    raise<DataError>("{} does not record the byte lengths of its tokens, so bits per byte are unknown",
                     subject.task.data_name());
  }
  return result;
}

static void log_result(const Options& options, const Subject& subject, const Result& result) {
  const Evaluation& e = result.evaluation;
  std::string terms;
  for (const auto& [name, value] : subject.set.terms()) terms += fmt::format(" | {} {}", name, value);
  if (options.evaluation.noise > 0) terms += fmt::format(" | noise {:g}", options.evaluation.noise);
  if (!subject.set.documents().empty()) terms += fmt::format(" | documents {}", subject.set.documents());
  if (e.raw_bytes) terms += fmt::format(" | {} bytes", *e.raw_bytes);
  if (e.unknown && e.unknown->tokens > 0) terms += " | " + unknown_in_words(*e.unknown, static_cast<int64_t>(e.tokens));
  log::info("{}{}", note_on(subject.run.checkpoint, options, subject.task, e.tokens), terms);
  log::info("{}", join(to_words(e), " | "));
  if (const Causality worst = std::max(result.causality, result.measured.value_or(result.causality));
      worst > models().at(subject.run.config.task).allowed_causality) {
    log::warn("not causal: a token's experts depend on {}. These results do not measure prediction",
              worst == Causality::sequence ? "later tokens of its sequence"
                                           : "the tokens that it is evaluated together with");
  }
  if (result.measured) log::info("measured causality: {}", name_of(*result.measured));
  if (options.by_source) log::info("{}", source_text(result.sources, subject.task.source_names(options.split)));
  if (options.by_class) log::info("{}", confusion_text(result.confusion, subject.task.class_names()));
}

static Json to_json(const Options& options, const Subject& subject, const Result& result) {
  const Evaluation& e = result.evaluation;
  Json record = {{"checkpoint", subject.run.checkpoint},
                 {"step", subject.run.step},
                 {"data", subject.task.data_name()},
                 {"split", options.split}};
  for (const auto& [name, value] : subject.set.terms()) record[name] = value;
  if (options.evaluation.noise > 0) record["noise"] = options.evaluation.noise;
  if (!subject.set.documents().empty()) record["documents"] = subject.set.documents();
  record["tokens"] = e.tokens;
  if (e.raw_bytes) record["raw_bytes"] = *e.raw_bytes;
  if (e.unknown) record["unknown"] = {{"tokens", e.unknown->tokens}, {"bytes", e.unknown->bytes}};
  record["causality"] = name_of(result.causality);
  if (result.measured) record["measured_causality"] = name_of(*result.measured);
  if (options.by_source) record["sources"] = source_json(result.sources, subject.task.source_names(options.split));
  if (options.by_class) record["classes"] = confusion_json(result.confusion, subject.task.class_names());
  for (const char* name : e.metrics) record[name] = metrics().at(name).value(e);
  return record;
}

// Settings for a context that is longer than the one that the run was trained with; none for any other.
static std::vector<std::string> for_longer_context(const Options& options) {
  if (options.evaluation.context == 0) return {};
  const TrainConfig config = load_run_config(find_checkpoint(options.path, options.which));
  const std::vector<std::string> settings = settings_for_context(config, options.evaluation.context);
  if (!settings.empty()) {
    log::warn("a context of {} tokens is longer than the {} of the training: the loss of the later ones may be high",
              options.evaluation.context, config.data.sequence);
  }
  return settings;
}

// What evaluations of given texts share.
struct GivenSubject {
  const Options& options;
  LoadedRun& run;
  const Tokenizer& tokenizer;
  int64_t context;
  bool prints;
};

static void print_given(const GivenSubject& x, const Json& record, double number) {
  if (x.options.json)
    std::cout << json_text_replacing(record) << "\n";
  else
    std::cout << fmt::format("{:.6f}\n", number);
}

static void evaluate_text(const GivenSubject& x, const std::string& text) {
  TextMeasures measures;
  const std::vector<int32_t> tokens = encode_measured(x.tokenizer, text, measures);
  if (tokens.size() < 2)
    raise<DataError>("{}: a text of {} tokens; at least 2 are needed", x.options.given.text, tokens.size());
  const int64_t stride = x.options.evaluation.stride > 0 ? x.options.evaluation.stride : x.context;
  if (stride > x.context) raise<UsageError>("--stride {}: at most the context of {} tokens", stride, x.context);
  std::optional<ChosenExperts> experts;
  ScoreOptions options{.context = x.context, .stride = stride};
  if (x.options.given.per_token) {
    experts.emplace(*x.run.state->model);
    options.visit = [&](std::span<const ReadToken> pass) { experts->collect(pass); };
  }
  const std::vector<TokenScore> scores = score_tokens(*x.run.state, tokens, options);
  if (!x.prints) return;
  const Evaluation evaluation = evaluation_of(scores, tokens, x.tokenizer, measures);
  log::info("{} | {} | {:.0f} predictions | context {} | stride {} | {}", x.run.checkpoint, x.options.given.text,
            evaluation.tokens, x.context, stride, join(to_words(evaluation), " | "));
  if (x.run.state->model->causality() > Causality::causal)
    log::warn("not causal: a token's experts depend on later tokens. These results do not measure prediction");
  if (experts) {
    std::cout << token_table(tokens, scores, x.tokenizer, &*experts);
    return;
  }
  Json record = {{"checkpoint", x.run.checkpoint}, {"step", x.run.step}, {"text", x.options.given.text},
                 {"context", x.context},           {"stride", stride},   {"tokens", evaluation.tokens}};
  if (evaluation.raw_bytes) record["raw_bytes"] = *evaluation.raw_bytes;
  for (const char* name : evaluation.metrics) record[name] = metrics().at(name).value(evaluation);
  print_given(x, record, x.options.chosen_metric(evaluation.metrics).value(evaluation));
}

static Json to_json(const Accuracy& accuracy) {
  const auto [low, high] = accuracy.interval();
  return {{"share", accuracy.share()}, {"standard_error", accuracy.standard_error()}, {"low", low}, {"high", high}};
}

static void answer_questions(const GivenSubject& x) {
  const std::vector<Question> questions = read_questions(x.options.given.choices);
  const ChoiceAccuracy result =
      answer_all(*x.run.state, x.tokenizer, questions, {.context = x.context, .delimiter = x.options.given.delimiter});
  if (!x.prints) return;
  const auto in_words = [](const Accuracy& a) {
    const auto [low, high] = a.interval();
    return fmt::format("{:.2f}% ({:.2f} to {:.2f}, 95% interval)", 100 * a.share(), 100 * low, 100 * high);
  };
  log::info("{} | {} questions | accuracy {} | normalised by length {}", x.run.checkpoint, questions.size(),
            in_words(result.plain), in_words(result.normalised));
  print_given(x,
              {{"checkpoint", x.run.checkpoint},
               {"step", x.run.step},
               {"questions", questions.size()},
               {"accuracy", to_json(result.plain)},
               {"normalised_accuracy", to_json(result.normalised)}},
              result.plain.share());
}

// Evaluates --text or --choices.
static void evaluate_given(const Options& options, LoadedRun& run, Communicator& world) {
  const Json* description = tasks().at(run.config.task).tokenizer(run.samples);
  if (!models().at(run.config.task).reads_on || !description)
    raise<UsageError>("{} is of a run with task: {}, whose model does not predict text", run.checkpoint,
                      run.config.task);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(*description, run.samples_file);
  const GivenSubject subject{options, run, *tokenizer,
                             options.evaluation.context > 0 ? options.evaluation.context : run.config.data.sequence,
                             world.rank() == 0};
  if (!options.given.choices.empty()) return answer_questions(subject);
  std::string text;
  if (options.given.text != "-")
    text = read_text_file(options.given.text);
  else if (world.rank() == 0)
    text = {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  evaluate_text(subject, options.given.text == "-" ? broadcast_text(world, text, 0) : text);
}

static int evaluate_run(int argc, char** argv, MpiSession& session) {
  CommandLine app("Evaluates a run or a checkpoint and prints one number. mpirun shares the work among ranks.");
  Options options;
  options.add_to(app);
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  options.check();
  const bool first = session.world()->rank() == 0;
  setup_cpu(options.threads, false, session.local());
  const PeerWatch peers(*session.world());
  const DeviceChoice device =
      choose_device_for(options.path, options.which, options.device, options.precision, session.local());
  const std::vector<std::string> longer = for_longer_context(options);
  const Loader load = [&](std::vector<std::string> settings) {
    settings.insert(settings.end(), longer.begin(), longer.end());
    return load_run(options.path, options.which, session.world(), options.expert_parallel, options.evaluation.sequences,
                    device, settings);
  };
  LoadedRun run = load({});
  if (options.given.any()) {
    evaluate_given(options, run, *session.world());
    return 0;
  }
  const std::unique_ptr<Task> task = run.open_task(options.data);
  if (first) {
    for (const std::string& doubt : task->doubts()) log::warn("{}", doubt);
  }
  if (options.metric.empty()) options.metric = task->metrics().front();
  const Metric& chosen = options.chosen_metric(task->metrics());
  if (options.by_class && task->class_names().empty())
    raise<UsageError>("--by-class: the samples of {} have no classes", task->data_name());
  const auto set = task->evaluation_set(options.split, options.evaluation);
  const Subject subject{run, *task, *set};
  if (options.varied.any()) {
    const std::string checkpoint = run.checkpoint;
    const std::vector<VariedEvaluation> all = evaluate_variations(options, subject, load, first);
    if (first) print_variations(options, note_on(checkpoint, options, *task, all.front().evaluation.tokens), all);
    return 0;
  }
  const Result result = evaluate_as_trained(options, subject);
  if (!first) return 0;
  log_result(options, subject, result);
  if (options.json)
    std::cout << json_text_replacing(to_json(options, subject, result)) << "\n";
  else
    std::cout << fmt::format("{:.6f}\n", chosen.value(result.evaluation));
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return evaluate_run(argc, argv, session); });
}
