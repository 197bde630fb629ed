#include "core/inspect/token_view.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/inspect/page.h"
#include "tests/inspect/markup_error.h"
#include "tests/support/catch.h"

using namespace moe;

static TokenView sample_view() {
  return {.texts = {"a", "<b>", " \"c\"", "\\n"},
          .blocks = {{.block = 1, .experts = 4, .slots = 2, .chosen = {0, 1, 2, 3, 3, -1, -1, -1}},
                     {.block = 3, .experts = 4, .slots = 1, .chosen = {2, 2, 1, 0}}}};
}

TEST_CASE("the coloured text is well-formed and names the experts of each token") {
  const std::string html = token_view_markup(sample_view());
  CHECK(page_error(whole_page("t", html)) == "");
  CHECK_THAT(html, Catch::Contains("title=\"0, 1\">a</span>"));
  CHECK_THAT(html, Catch::Contains("title=\"none\">\\n</span>"));
  CHECK_THAT(html, Catch::Contains("<td>&lt;b&gt;</td><td>2, 3</td><td>2</td>"));
  CHECK_THAT(html, Catch::Contains("max=\"1\""));
}

TEST_CASE("the text can be coloured by surprise, and shows which tokens were given") {
  TokenView view = sample_view();
  view.nats = {std::nan(""), 0, 4, 20};
  view.given = 2;
  const std::string html = token_view_markup(view, "one") + token_view_markup(view, "two");
  CHECK(page_error(whole_page("t", html)) == "");
  CHECK_THAT(html, Catch::Contains("max=\"2\""));
  CHECK_THAT(
      html, Catch::Contains("[\"nats\",[-1,130,65,0],[\"not predicted\",\"0.00 nats\",\"4.00 nats\",\"20.00 nats\"]]"));
  CHECK_THAT(html, Catch::Contains("<span class=\"given\" style=\"--h:0\" title=\"0, 1\">a</span>"));
  CHECK_THAT(html, Catch::Contains("id=\"two-control\""));
}

TEST_CASE("without tokens there is no coloured text") {
  CHECK(token_view_markup({}).empty());
  CHECK(token_view_markup({.texts = {}, .blocks = {{.block = 0, .experts = 2, .slots = 1, .chosen = {}}}}).empty());
}

TEST_CASE("the coloured text is that of the first tokens of a trace") {
  StepTrace trace;
  for (int i = 0; i < kViewedTokens + 20; ++i) trace.samples.push_back(i);
  trace.positions = trace.ids = trace.samples;
  trace.layers.push_back(
      {.block = 2, .experts = 4, .slots = 1, .chosen = trace.samples, .weights = {}, .dropped = {}, .logits = {}});
  const TokenView view = view_tokens(trace, [](int32_t id) { return id == 1 ? "\t" : id == 2 ? "" : "x"; });
  REQUIRE(std::ssize(view.texts) == kViewedTokens);
  CHECK(view.texts[0] == "x");
  CHECK(view.texts[1] == "\\t");
  CHECK(view.texts[2] == "2 ");  // a token without text has its id
  REQUIRE(view.blocks.size() == 1);
  CHECK(std::ssize(view.blocks[0].chosen) == kViewedTokens);
  CHECK(view.blocks[0].chosen[7] == 7);
  trace.ids.clear();
  CHECK(view_tokens(trace, [](int32_t) { return "x"; }).texts.empty());
}
