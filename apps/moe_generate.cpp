// moe-generate: writes text with a trained model. The text is on standard output, everything else on standard error.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <iterator>
#include <optional>
#include <utility>

#include "apps/command_line.h"
#include "comm/peer_watch.h"
#include "comm/rank_texts.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/output.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/checkpoint/checkpoint.h"
#include "core/generate/chosen_experts.h"
#include "core/generate/coloured_text.h"
#include "core/generate/generate.h"
#include "core/generate/text_output.h"
#include "core/record/run_folder.h"
#include "core/reload/load_run.h"
#include "core/step/cpu_setup.h"
#include "data/lines.h"
#include "data/posix_file.h"
#include "data/tokenizer.h"

using namespace moe;

// The options of the command line.
struct Options {
  std::string path, which = "last", prompt_file, prompts_file, device = "auto", precision = "run", full = "slide";
  std::vector<std::string> prompts, stops;
  std::vector<int64_t> ids;
  int64_t samples = 1, batch = 0, context = 0, expert_parallel = 0, layer = -1;
  int threads = 0;
  bool no_cache = false, no_prompt = false, ignore_end = false, json = false, experts = false, interactive = false;
  GenerateOptions generate{};

  void add_to(CommandLine& app) {
    app.add_option("run", path, "folder of a run or of a checkpoint").required();
    app.add_option("-p,--prompt", prompts, "text to continue; several of them give several texts")
        .allow_extra_args(false);
    app.add_option("--prompt-file", prompt_file, "file whose whole text is a prompt; - for standard input");
    app.add_option("--prompts", prompts_file,
                   "file with a prompt in each line, or JSON lines with the member \"prompt\" (NAME.jsonl)");
    app.add_option("--ids", ids, "token ids as the prompt: a list like 1,2,3").delimiter(',');
    app.add_option("-n,--tokens", generate.tokens, "tokens to write at most, for each text")
        .capture_default_str()
        .positive();
    app.add_option("--samples", samples, "texts for each prompt, drawn independently").capture_default_str().positive();
    add_sampling(app);
    app.add_option("--stop", stops, "a text ends before this string; may be given several times")
        .allow_extra_args(false);
    app.add_flag("--ignore-end", ignore_end, "go on after the mark of a document's end, which otherwise ends a text");
    app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
    app.add_option("--context", context,
                   "most tokens that the model sees; default: the training length. Longer ones need positions that go "
                   "on (rope, none)");
    app.add_option("--full-context", full,
                   "what happens when a text fills the context: slide (its older half is dropped, and the other half "
                   "read again) or stop")
        .capture_default_str()
        .one_of({"slide", "stop"});
    app.add_flag("--no-cache", no_cache, "read the whole text again for each token; the text is the same");
    app.add_option("--batch", batch,
                   "texts that are written at a time; changes only the speed. Default: all, at most 16");
    app.add_flag("-i,--interactive", interactive, "read lines from the terminal, and continue the text after each");
    app.add_flag("--no-prompt", no_prompt, "print only what was written");
    app.add_flag("--json", json, "print each text as a line of JSON");
    app.add_flag("--experts", experts,
                 "show the experts of each token: as colours on a terminal, otherwise a line of JSON for each token");
    app.add_option("--layer", layer, "block whose experts give the colours; default: the last one with experts");
    app.add_option("--expert-parallel", expert_parallel,
                   "number of ranks that share the experts; default: the largest possible number");
    app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
    add_device_options(app, device, precision);
  }

  void add_sampling(CommandLine& app) {
    SamplingOptions& s = generate.sampling;
    app.add_option("--temperature", s.temperature, "0: always the most likely token")
        .capture_default_str()
        .not_negative();
    app.add_option("--top-k", s.top_k, "draw from the k most likely tokens only; 0 = all")
        .capture_default_str()
        .not_negative();
    app.add_option("--top-p", s.top_p, "draw from the most likely tokens that together have this probability")
        .capture_default_str()
        .between_numbers(1e-9, 1);
    app.add_option("--min-p", s.min_p, "draw from tokens with this share of the most likely one's probability")
        .capture_default_str()
        .between_numbers(0, 1);
    app.add_option("--repetition-penalty", s.repetition_penalty,
                   "makes tokens of the text less likely: 1 = not at all; 1.1 to 1.3 are usual")
        .capture_default_str()
        .between_numbers(1e-3, 1e3);
    app.add_option("--seed", generate.seed, "of the draws; the same seed gives the same text").capture_default_str();
  }

  void check() const {
    if (interactive && (!prompts_file.empty() || prompts.size() > 1 || samples > 1 || json))
      throw UsageError("--interactive writes one text; leave out --prompts, --samples, --json and further prompts");
    for (const std::string& stop : stops)
      if (stop.empty()) throw UsageError("--stop is empty");
    if (batch < 0) throw UsageError("--batch must be positive");
    if (context < 0) throw UsageError("--context must be positive");
  }
};

static std::string read_prompt_file(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  return read_text_file(path);
}

static std::vector<std::string> read_prompts(const std::string& path) {
  std::vector<std::string> prompts;
  const bool is_json = path.ends_with(".jsonl");
  for_each_line(path, [&](std::string_view line, int64_t number) {
    if (!is_json) return prompts.emplace_back(line), void();
    try {
      prompts.push_back(parse_json(line).at("prompt").get<std::string>());
    } catch (const JsonError& error) {
      refuse_line(path, number, "{}; expected an object with the member \"prompt\"", error.what());
    }
  });
  if (prompts.empty()) raise<DataError>("{} holds no prompts", path);
  return prompts;
}

class Program {
 public:
  Program(Options options, MpiSession& session)
      : options_(std::move(options)), session_(session), first_(session.world()->rank() == 0) {}
  void run();

 private:
  void load();
  std::vector<std::string> prompt_texts() const;
  std::vector<std::vector<int32_t>> prompts() const;
  std::vector<int32_t> encode(const std::string& text) const;
  ReaderOptions reader_options(int64_t rows);
  void write_texts();
  void talk();
  // Prints a text that has ended; `streamed`: its tokens were printed as they were written.
  void print(size_t index, bool streamed);
  Json as_json(size_t index) const;
  void print_tokens(size_t index) const;
  void say_what(const ModelReader& reader) const;
  void say_speed() const;

  using Clock = std::chrono::steady_clock;

  Options options_;
  MpiSession& session_;
  const bool first_;
  LoadedRun run_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChosenExperts> experts_;
  size_t layer_ = 0;  // whose experts give the colours
  std::vector<WrittenText> texts_;
  std::vector<size_t> prompt_tokens_;
  std::vector<TextOutput> outputs_;
  Clock::time_point begin_{}, first_token_{};
};

void Program::load() {
  const std::string checkpoint = find_checkpoint(options_.path, options_.which);
  const TrainConfig config = load_run_config(checkpoint);
  if (!models().at(config.task).reads_on) {
    raise<UsageError>("{} is of a run with task: {}, whose model does not write text; moe-eval evaluates it",
                      checkpoint, config.task);
  }
  const int64_t trained = config.data.sequence;
  if (options_.context == 0) options_.context = trained;
  const std::vector<std::string> settings = settings_for_context(config, options_.context);
  if (first_ && !settings.empty()) {
    log::warn("a context of {} tokens is longer than the {} of the training: text after those may be poor",
              options_.context, trained);
  }
  const DeviceChoice device =
      choose_device_for(options_.path, options_.which, options_.device, options_.precision, session_.local());
  run_ = load_run(options_.path, options_.which, session_.world(), options_.expert_parallel, 1, device, settings);
  const Json* description = tasks().at(run_.config.task).tokenizer(run_.samples);
  tokenizer_ = load_tokenizer(*description, run_.samples_file);
  if (!options_.ignore_end) options_.generate.end = tokenizer_->end_of_document();
  options_.generate.slides = options_.full == "slide";
}

std::vector<std::string> Program::prompt_texts() const {
  std::vector<std::string> all = options_.prompts;
  if (!options_.prompt_file.empty()) all.push_back(read_prompt_file(options_.prompt_file));
  if (!options_.prompts_file.empty()) {
    for (std::string& prompt : read_prompts(options_.prompts_file)) all.push_back(std::move(prompt));
  }
  return all;
}

std::vector<int32_t> Program::encode(const std::string& text) const {
  std::vector<int32_t> ids;
  tokenizer_->encode(text, ids);
  return ids;
}

std::vector<std::vector<int32_t>> Program::prompts() const {
  // Standard input belongs to one rank.
  Json texts = Json::array();
  if (first_) {
    for (const std::string& text : prompt_texts()) texts.push_back(text);
  }
  std::vector<std::vector<int32_t>> all;
  for (const Json& text : parse_json(broadcast_text(*session_.world(), json_text(texts), 0))) {
    all.push_back(encode(text.get<std::string>()));
    if (all.back().empty()) throw UsageError("an empty prompt: give a text of at least one token");
  }
  if (!options_.ids.empty()) all.emplace_back(options_.ids.begin(), options_.ids.end());
  if (!all.empty()) return all;
  // A model of documents can begin one by itself.
  const std::optional<int32_t> mark = tokenizer_->end_of_document();
  if (!mark) throw UsageError("there is no prompt: give --prompt TEXT, --prompt-file FILE or --ids LIST");
  return {{*mark}};
}

ReaderOptions Program::reader_options(int64_t rows) {
  const auto layers = run_.state->model->moe_layers();
  if (options_.experts) {
    if (layers.empty()) throw UsageError("--experts: the model has no experts");
    experts_.emplace(*run_.state->model);
    layer_ = layers.size() - 1;
    if (options_.layer >= 0) {
      const auto found = std::find_if(layers.begin(), layers.end(),
                                      [&](const MoELayer* layer) { return layer->layer() == options_.layer; });
      if (found == layers.end())
        raise<UsageError>("--layer {}: block {} has no experts", options_.layer, options_.layer);
      layer_ = static_cast<size_t>(found - layers.begin());
    }
  }
  ReaderOptions reader{
      .rows = rows, .context = options_.context, .chunk = run_.config.data.sequence, .cache = !options_.no_cache};
  if (experts_) reader.visit = [this](std::span<const ReadToken> tokens) { experts_->collect(tokens); };
  return reader;
}

// Each token of the text with its experts: in colours, or as lines of JSON.
void Program::print_tokens(size_t index) const {
  const WrittenText& text = texts_[index];
  const bool coloured = wants_colour() && !options_.json;
  std::string line;
  if (coloured) line = expert_colours(experts_->experts(layer_)) + "\n";
  std::string bytes;  // of the tokens so far
  for (size_t t = 0; t < text.tokens.size(); ++t) {
    const size_t before = bytes.size();
    tokenizer_->decode_next(text.tokens[t], bytes);
    if (options_.no_prompt && t < prompt_tokens_[index]) continue;
    const std::string own = bytes.substr(before);
    if (coloured) {
      const std::vector<int32_t> chosen = experts_->of(static_cast<int64_t>(index), static_cast<int64_t>(t), layer_);
      line += chosen.empty() ? shown(own) : coloured_by_expert(shown(own), chosen.front());
      continue;
    }
    Json layers = Json::object();
    for (size_t l = 0; l < experts_->layers(); ++l) {
      Json list = Json::array();
      for (const int32_t e : experts_->of(static_cast<int64_t>(index), static_cast<int64_t>(t), l)) list.push_back(e);
      layers[std::to_string(experts_->block(l))] = list;
    }
    line += json_text_replacing({{"text", index},
                                 {"index", t},
                                 {"token", text.tokens[t]},
                                 {"piece", own},
                                 {"written", t >= prompt_tokens_[index]},
                                 {"experts", layers}}) +
            "\n";
  }
  std::cout << line << (coloured ? "\n" : "") << std::flush;
}

Json Program::as_json(size_t index) const {
  const WrittenText& text = texts_[index];
  const auto tokens = std::span(text.tokens);
  Json ids = Json::array();
  for (const int32_t id : tokens.subspan(prompt_tokens_[index])) ids.push_back(id);
  return {{"prompt", tokenizer_->decode(tokens.first(prompt_tokens_[index]))},
          {"sample", text.stream},
          {"text", outputs_[index].text()},
          {"tokens", ids},
          {"end", name_of(text.end)}};
}

void Program::print(size_t index, bool streamed) {
  if (!first_) return;
  TextOutput& output = outputs_[index];
  if (options_.json) std::cout << json_text_replacing(as_json(index)) << std::endl;
  if (experts_) return print_tokens(index);
  if (options_.json) return;
  if (streamed) {
    std::cout << output.rest() << std::endl;
    return;
  }
  const auto prompt = std::span(texts_[index].tokens).first(prompt_tokens_[index]);
  if (texts_.size() > 1)
    std::cout << fmt::format("{}--- text {} of {}\n", index > 0 ? "\n" : "", index + 1, texts_.size());
  std::cout << (options_.no_prompt ? "" : tokenizer_->decode(prompt)) << output.text() << std::endl;
}

void Program::say_what(const ModelReader& reader) const {
  if (!first_) return;
  log::info("{} | step {} | context {} tokens{}", run_.checkpoint, run_.step, options_.context,
            reader.cache_bytes() > 0 ? " | cache " + format_bytes(static_cast<double>(reader.cache_bytes())) : "");
  if (reader.why_not().empty()) return;
  log::warn("{}, so all tokens so far are read and routed again for each token{}", reader.why_not(),
            run_.state->model->causality() > Causality::causal
                ? ". In training later tokens were among them: this text is not written as the model was trained"
                : "");
}

void Program::say_speed() const {
  if (!first_) return;
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  int64_t written = 0, read = 0;
  for (size_t i = 0; i < texts_.size(); ++i) {
    written += texts_[i].drawn;
    read += static_cast<int64_t>(prompt_tokens_[i]);
  }
  const double all = seconds(Clock::now() - begin_);
  if (texts_.size() == 1 && written > 1) {
    const double prompt = seconds(first_token_ - begin_), rest = all - prompt;
    log::info("prompt: {} tokens in {:.1f} ms, {:.0f} tokens/s | written: {} tokens, {:.2f} ms each, {:.0f} tokens/s",
              read, 1e3 * prompt, static_cast<double>(read) / prompt, written,
              1e3 * rest / static_cast<double>(written - 1), static_cast<double>(written - 1) / rest);
    return;
  }
  log::info("{} texts: {} tokens of prompts read and {} written in {:.2f} s, {:.0f} tokens/s", texts_.size(), read,
            written, all, static_cast<double>(written) / all);
}

void Program::write_texts() {
  for (const std::vector<int32_t>& prompt : prompts()) {
    for (int64_t sample = 0; sample < options_.samples; ++sample)
      texts_.push_back({.tokens = prompt, .stream = static_cast<uint32_t>(sample)});
  }
  for (const WrittenText& text : texts_) {
    prompt_tokens_.push_back(text.tokens.size());
    outputs_.emplace_back(*tokenizer_, text.tokens, options_.stops);
  }
  const int64_t rows = options_.batch > 0 ? options_.batch : std::min<int64_t>(std::ssize(texts_), 16);
  options_.generate.reader = reader_options(std::min<int64_t>(rows, std::ssize(texts_)));
  TextWriter writer(*run_.state, options_.generate);
  say_what(writer.reader());
  const bool streams = first_ && texts_.size() == 1 && !options_.json && !experts_;
  // Once nothing can be refused any more.
  bool printed = !streams || options_.no_prompt;
  const auto print_prompt = [&] {
    if (!std::exchange(printed, true))
      std::cout << tokenizer_->decode(std::span(texts_[0].tokens).first(prompt_tokens_[0])) << std::flush;
  };
  begin_ = Clock::now();
  writer.write(texts_, [&](size_t index, int32_t token) {
    if (first_token_ == Clock::time_point{}) first_token_ = Clock::now();
    print_prompt();
    const std::string visible = outputs_[index].add(token);
    if (streams) std::cout << visible << std::flush;
    return !outputs_[index].has_stopped();
  });
  print_prompt();
  for (size_t i = 0; i < texts_.size(); ++i) print(i, streams);
  say_speed();
}

// Lines from standard input, each of which is appended to the text before the model goes on with it.
void Program::talk() {
  if (session_.world()->size() > 1) throw UsageError("--interactive needs one rank");
  options_.generate.reader = reader_options(1);
  TextWriter writer(*run_.state, options_.generate);
  say_what(writer.reader());
  log::info("write the beginning of a text; the model goes on with it after each line. /new: another text, /end: ends");
  WrittenText text;
  if (!options_.prompts.empty()) text.tokens = encode(options_.prompts.front());
  const bool asks = ::isatty(STDIN_FILENO) != 0 && is_capable_terminal(STDOUT_FILENO);
  for (std::string line;;) {
    if (asks) std::cout << "> " << std::flush;
    if (!std::getline(std::cin, line) || line == "/end") break;
    if (line == "/new") {
      text = {};
      continue;
    }
    for (const int32_t id : encode(line)) text.tokens.push_back(id);
    if (text.tokens.empty()) continue;
    TextOutput output(*tokenizer_, text.tokens, options_.stops);
    const size_t before = text.tokens.size();
    writer.write_on(text, [&](size_t, int32_t token) {
      std::cout << output.add(token) << std::flush;
      return !output.has_stopped();
    });
    std::cout << output.rest() << std::endl;
    if (!experts_) continue;
    texts_ = {text};
    prompt_tokens_ = {before};
    print_tokens(0);
  }
}

void Program::run() {
  setup_cpu(options_.threads, false, session_.local());
  const PeerWatch peers(*session_.world());
  load();
  if (options_.interactive)
    talk();
  else
    write_texts();
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) {
    CommandLine app("Writes text with a trained model. mpirun shares the experts among ranks.");
    Options options;
    options.add_to(app);
    if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
    options.check();
    Program(std::move(options), session).run();
    return 0;
  });
}
