// Labelled texts as comma-separated values (banking77): training, test, and the list of categories.
#include "tests/fuzz/labelled_texts.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 3);
  read_labelled("banking77", {{"train.csv", files[0]}, {"test.csv", files[1]}, {"categories.json", files[2]}});
}

static std::vector<std::string> seeds() {
  return {joined({"text,category\nwhere is my card,card\n\"a \"\"b\"\", c\nd\",loan\r\nx,card\n\n", "y,loan\n",
                  R"(["card", "loan"])"})};
}

static const FuzzTarget target{"labelled_csv", read_input, seeds};

}  // namespace moe
