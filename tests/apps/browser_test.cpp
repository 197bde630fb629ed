// Opens the web pages in a browser (Debian's package chromium), where there is one.
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

namespace {

// The first browser of the PATH; empty if there is none.
std::string browser() {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path ? path : "", ':')) {
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
      if (fs::exists(fs::path(folder) / name)) return fs::path(folder) / name;
    }
  }
  return "";
}

struct Opened {
  std::string page;     // the document after its scripts have run
  std::string console;  // messages of the console
};

Opened open_page(const std::string& program, const std::string& profile, const std::string& page) {
  const Finished result =
      run_child({program, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + profile,
                 "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom", "file://" + page});
  Opened opened{.page = result.out, .console = {}};
  for (const std::string& line : split(result.err, '\n')) {
    if (line.find(":CONSOLE") != std::string::npos) opened.console += line + "\n";
  }
  return opened;
}

}  // namespace

TEST_CASE("a browser opens the pages of a run and of a comparison without an error in its console", "[slow]") {
  const std::string chromium = browser();
  if (chromium.empty()) {
    WARN("not tested: there is no chromium here");
    return;
  }
  const TemporaryFolder folder;
  for (const char* name : {"a-seed1", "b-seed1"}) {
    const std::string router = name[0] == 'a' ? "moe.router={kind: topk, k: 2}" : "moe.router={kind: topk, k: 3}";
    const Finished trained = run_child(tiny_train(folder.path(), {router, fmt::format("name={}", name)}));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
  }
  done(program("moe-inspect") + Arguments{folder / "a-seed1"});
  done(program("moe-inspect") + Arguments{"compare", folder.path(), "--html", folder / "compare.html"});

  const Opened run = open_page(chromium, folder / "profile", folder / "a-seed1/report.html");
  CHECK(run.console == "");
  CHECK_THAT(run.page, Catch::Contains("</footer>"));
  // The script shows the slider, which is hidden without it.
  CHECK_THAT(run.page, Catch::Contains("id=\"read-control\">") && !Catch::Contains("id=\"read-control\" hidden"));
  const Opened comparison = open_page(chromium, folder / "profile", folder / "compare.html");
  CHECK(comparison.console == "");
  CHECK_THAT(comparison.page, Catch::Contains("class=\"answer\""));

  // The test would see an error.
  std::string broken = read_text(folder / "a-seed1/report.html");
  broken.insert(broken.find("<script>") + 8, "absent();\n");
  replace_text(folder / "broken.html", broken);
  CHECK_THAT(open_page(chromium, folder / "profile", folder / "broken.html").console,
             Catch::Contains("absent is not defined"));
}
