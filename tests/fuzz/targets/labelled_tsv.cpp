// Labelled texts as tab-separated values: training and test.
#include "tests/fuzz/labelled_texts.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 2);
  read_labelled("tsv", {{"train.tsv", files[0]}, {"test.tsv", files[1]}});
}

static std::vector<std::string> seeds() {
  return {joined({"good\ta fine film\nbad\ta poor one\n\ngood\tx\ty\r\nbad\t\xff\xfe\n", "bad\tno\n"}),
          joined({"\xEF\xBB\xBF"
                  "1\ta\n2\tb\n10\tc\n",
                  "2\tz"})};
}

static const FuzzTarget target{"labelled_tsv", read_input, seeds};

}  // namespace moe
