#include "core/generate/multiple_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/generate/token_scores.h"
#include "data/lines.h"

namespace moe {
namespace {

Question question_of(const Json& json) {
  Question question{.prompt = json.at("prompt").get<std::string>(),
                    .choices = json.at("choices").get<std::vector<std::string>>()};
  if (question.choices.size() < 2) throw JsonError("fewer than two choices");
  const Json& answer = json.at("answer");
  const int64_t count = std::ssize(question.choices);
  if (answer.is_string()) {
    const auto found = std::find(question.choices.begin(), question.choices.end(), answer.get<std::string>());
    question.answer = found - question.choices.begin();
  } else {
    question.answer = answer.get<int64_t>();
  }
  if (question.answer < 0 || question.answer >= count) throw JsonError("the answer is none of the choices");
  return question;
}

int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; });
}

// ln p of the text after `prompt`.
double log_likelihood(TrainingState& state, const Tokenizer& tokenizer, std::string prompt, std::string choice,
                      int64_t context) {
  const size_t end = prompt.find_last_not_of(" \n\t\r\v\f") + 1;
  choice.insert(0, prompt.substr(end));
  prompt.resize(end);
  std::vector<int32_t> before, all;
  tokenizer.encode(prompt, before);
  tokenizer.encode(prompt + choice, all);
  const auto most = static_cast<size_t>(context) + 1;
  size_t first = std::max<size_t>(before.size(), 1);  // the first token of a text is not predicted
  if (all.size() > most) {
    const size_t left_out = all.size() - most;
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(left_out));
    first = std::max<size_t>(first, left_out + 1) - left_out;
  }
  if (all.size() <= first) throw DataError("the choice has no token of its own");
  const std::vector<TokenScore> scores = score_tokens(state, all, {.context = context, .stride = context});
  double sum = 0;
  for (size_t i = first; i < all.size(); ++i) sum -= scores[i - 1].nats;
  return sum;
}

int64_t largest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

}  // namespace

std::vector<Question> read_questions(const std::string& path) {
  std::vector<Question> questions;
  for_each_line(path, [&](std::string_view line, int64_t number) {
    try {
      questions.push_back(question_of(parse_json(line)));
    } catch (const JsonError& error) {
      refuse_line(path, number, "{}; expected an object with \"prompt\", \"choices\" and \"answer\"", error.what());
    }
  });
  if (questions.empty()) raise<DataError>("{} holds no questions", path);
  return questions;
}

Answered answer(TrainingState& state, const Tokenizer& tokenizer, const Question& question,
                const ChoiceOptions& options) {
  Answered answered;
  std::vector<double> by_length;
  for (const std::string& choice : question.choices) {
    answered.log_likelihood.push_back(
        log_likelihood(state, tokenizer, question.prompt, options.delimiter + choice, options.context));
    by_length.push_back(answered.log_likelihood.back() / static_cast<double>(std::max<int64_t>(characters(choice), 1)));
  }
  answered.chosen = largest(answered.log_likelihood);
  answered.chosen_by_length = largest(by_length);
  return answered;
}

double Accuracy::standard_error() const {
  if (questions < 2) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(share() * (1 - share()) / static_cast<double>(questions - 1));
}

std::pair<double, double> Accuracy::interval() const {
  constexpr double kZ = 1.959963984540054;
  const auto n = static_cast<double>(questions);
  const double p = share(), middle = (p + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ / (1 + kZ * kZ / n) * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

ChoiceAccuracy answer_all(TrainingState& state, const Tokenizer& tokenizer, const std::vector<Question>& questions,
                          const ChoiceOptions& options,
                          const std::function<void(const Question&, const Answered&)>& visit) {
  ChoiceAccuracy accuracy;
  accuracy.plain.questions = accuracy.normalised.questions = std::ssize(questions);
  for (const Question& question : questions) {
    const Answered answered = answer(state, tokenizer, question, options);
    accuracy.plain.right += answered.chosen == question.answer;
    accuracy.normalised.right += answered.chosen_by_length == question.answer;
    if (visit) visit(question, answered);
  }
  return accuracy;
}

}  // namespace moe
