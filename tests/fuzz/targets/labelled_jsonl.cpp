// Labelled texts as JSON lines: training and test.
#include "tests/fuzz/labelled_texts.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 2);
  read_labelled("jsonl", {{"train.jsonl", files[0]}, {"test.jsonl", files[1]}});
}

static std::vector<std::string> seeds() {
  return {joined({R"({"label": "good", "text": "a fine film"}
{"text": "a poor one\n", "label": "bad", "more": [1]}
{"label": "good", "text": "\u00e9"}
)",
                  R"({"label": "bad", "text": "no"})"}),
          joined({"{\"label\": 1, \"text\": \"a\"}\n{\"label\": 20, \"text\": \"b\"}\n{\"label\": 3, \"text\": \"b\"}",
                  ""})};
}

static const FuzzTarget target{"labelled_jsonl", read_input, seeds};

}  // namespace moe
