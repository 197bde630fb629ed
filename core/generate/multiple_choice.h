// Questions with several answers, of which the model picks the most probable one.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/step/training_state.h"
#include "data/tokenizer.h"

namespace moe {

struct Question {
  std::string prompt;
  std::vector<std::string> choices;  // at least two
  int64_t answer = 0;                // the index of the right one
};

// JSON lines with the members "prompt", "choices" (a list of texts) and "answer" (an index counted from 0, or one of
// the choices). Throws DataError with the line.
std::vector<Question> read_questions(const std::string& path);

struct ChoiceOptions {
  int64_t context = 0;
  std::string delimiter = " ";  // between prompt and choice
};

// The model's answers to one question.
struct Answered {
  std::vector<double> log_likelihood;  // of each choice after the prompt: ln p, summed over its tokens
  int64_t chosen = 0;                  // the most probable choice
  int64_t chosen_by_length = 0;        // by ln p divided by the number of characters
};

// As lm-evaluation-harness does it: prompt + delimiter + choice is encoded as one text, and the tokens after those of
// the prompt alone are the choice's; blanks at the end of a prompt belong to the choice. Of a text that is too long the
// beginning is left out. Collective over the expert group.
Answered answer(TrainingState& state, const Tokenizer& tokenizer, const Question& question,
                const ChoiceOptions& options);

// A share of right answers among n.
struct Accuracy {
  int64_t right = 0, questions = 0;
  double share() const { return static_cast<double>(right) / static_cast<double>(questions); }
  // The standard error of the share, with divisor n - 1 as in lm-evaluation-harness; NaN for one question.
  double standard_error() const;
  // Wilson's 95 % interval.
  std::pair<double, double> interval() const;
};
struct ChoiceAccuracy {
  Accuracy plain, normalised;  // by ln p, and by ln p per character
};
// `visit` gets each question's answers.
ChoiceAccuracy answer_all(TrainingState& state, const Tokenizer& tokenizer, const std::vector<Question>& questions,
                          const ChoiceOptions& options,
                          const std::function<void(const Question&, const Answered&)>& visit = {});

}  // namespace moe
