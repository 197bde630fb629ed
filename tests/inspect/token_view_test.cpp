#include "core/inspect/token_view.h"

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

TEST_CASE("without tokens there is no coloured text") {
  CHECK(token_view_markup({}).empty());
  CHECK(token_view_markup({.texts = {}, .blocks = {{.block = 0, .experts = 2, .slots = 1, .chosen = {}}}}).empty());
}
