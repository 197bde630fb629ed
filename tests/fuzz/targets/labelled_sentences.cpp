// The formats of sentiment corpora. The first byte chooses one.
#include "tests/fuzz/labelled_texts.h"

namespace moe {

static void read_input(std::string_view input) {
  if (input.empty()) return;
  const std::string_view text = input.substr(1);
  switch (input[0] % 3) {
    case 0:
      return read_labelled("sst2", {{"sst2_train.tsv", text}, {"sst2_dev.tsv", text}, {"sst2_test.tsv", text}});
    case 1:
      return read_labelled("imdb", {{"train.tsv", text}, {"test.tsv", text}});
    default:
      return read_labelled("sst5", {{"trees_train.txt", text}, {"trees_dev.txt", text}, {"trees_test.txt", text}});
  }
}

static std::vector<std::string> seeds() {
  using namespace std::string_literals;
  return {"\0sentence\tlabel\na fine film\t1\na poor one\t0\n"s,
          "\1"
          "1\t7\t9\ta fine film<br />\n0\t8\t2\tpoor\n",
          "\2"
          "(3 (2 It) (4 (2 's) (4 good)))\n(1 (2 -LRB-) (0 (2 bad) (2 -RRB-)))\n"};
}

static const FuzzTarget target{"labelled_sentences", read_input, seeds};

}  // namespace moe
