// Short texts with a syntax of their own: splits, durations, base64, lists of CPUs; and texts for people.
#include "core/base/base64.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/machine/system_files.h"
#include "data/split_rule.h"
#include "data/texts/clean.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

// Calls `read`, which may refuse the text.
template <class Read>
static void try_to(Read read) {
  try {
    read();
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
  }
}

static void read_input(std::string_view input) {
  require(is_utf8(shown(input)), "a text for people is UTF-8");
  require(from_base64(to_base64(input)) == input, "base64 gives the bytes back");
  clean_like_text8(input);
  nearest(input.substr(0, 40), {"train.steps", "data.path"});
  try_to([&] { from_base64(input); });
  try_to([&] {
    const Duration duration = Duration::parse(input);
    duration.to_string();
    to_updates(duration, {1000, 64, 10});
  });
  try_to([&] {
    const SplitRule rule = SplitRule::parse(input);
    rule.to_string();
    const SplitSizes sizes = rule.sizes(1000);
    require(sizes[0] >= 0 && sizes[1] >= 0 && sizes[2] >= 0 && sizes[0] + sizes[1] + sizes[2] <= 1000,
            "a split is of the input");
  });
  cpu_list_text(parse_cpu_list(std::string(input)));
}

static std::vector<std::string> seeds() {
  return {"90/5/5",
          "0.9/0.05/0.05",
          "90M/5M/5M",
          "900/50/50",
          "90%/5%/5%",
          "5Mt",
          "2000u",
          "3e",
          "10%",
          "1.5e3",
          "0-3,8,10-11",
          "T25lIHR3bw==",
          "Gr\xc3\xb6\xc3\x9f"
          "e 12 \x1b[31m\n"};
}

static const FuzzTarget target{"small_texts", read_input, seeds};

}  // namespace moe
