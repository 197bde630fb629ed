#include "data/entries/gcide.h"

#include "core/base/error.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {

TEST_CASE("a dictionary entry becomes plain English") {
  const std::string raw =
      "Lark \\Lark\\ (l[aum]rk), n. [OE. larke, AS. l[=a]werce; Icel.\n"
      "   l[ae]virki; nudit['e].] (Zool.)\n"
      "   1. Any one of the large-\n"
      "      beaked birds ({Alaudid[ae]}). [Obs.] --Sir W.\n"
      "                                                Scott.\n"
      "      [1913 Webster +PJC]\n"
      "\n"
      "   2. A {Gre*ga\"ri*ous*ly} frolic. [1913\n"
      "      Webster]\n"
      "\n"
      "   Syn: fun.\n"
      "        [WordNet 1.5 +PJC] Larkspur\n"
      "\n";
  CHECK(clean_gcide_entry(raw) ==
        "Lark, n. [OE. larke, AS. lawerce; Icel. laevirki; nudite.] (Zool.)\n"
        "1. Any one of the large-beaked birds (Alaudidae). [Obs.] --Sir W. Scott.\n"
        "2. A Gregariously frolic.\n"
        "Syn: fun.\n"
        "\n");
}

TEST_CASE("fields and labels in an entry stay") {
  CHECK(clean_gcide_entry("Water hyacinth \\Wa\"ter hy\"a*cinth\\ (Bot.)\n   A plant. [R.]\n   [PJC]\n") ==
        "Water hyacinth (Bot.) A plant. [R.]\n\n");
  CHECK(clean_gcide_entry("\\A`bel*o\"ni*an\\, n.\n   A sect.\n") == "Abelonian, n. A sect.\n\n");
}

TEST_CASE("the dictionary's preface is left out and its entries are separated") {
  const TemporaryFolder folder;
  write_text_file(folder / "gcide",
                  "00-database-url\n   ftp://example\n\nGCIDE is free\nsoftware.\n\nA \\A\\ n.\n   One.\n\nB "
                  "\\B\\ n.\n   Two.\n");
  const TextInput input({folder / "gcide"});
  TextReader reader(input);
  std::vector<std::string> entries;
  read_gcide_entries(reader, [&](std::string_view entry, int64_t) { entries.emplace_back(entry); });
  CHECK(entries == std::vector<std::string>{"A n. One.\n\n", "B n. Two.\n\n"});

  write_text_file(folder / "other", "just\ntext\n");
  const TextInput other({folder / "other"});
  TextReader other_reader(other);
  CHECK_THROWS_AS(read_gcide_entries(other_reader, [](std::string_view, int64_t) {}), DataError);
}

}  // namespace moe
