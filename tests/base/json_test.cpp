#include "core/base/json_text.h"

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <sstream>

#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("JSON values are written and read again, in the order in which members were added") {
  const Json json = {{"z", 1},
                     {"a", {true, nullptr, -2, 1.5, "x\n\"\u00e4"}},
                     {"m", {{"empty", Json::object()}, {"none", Json::array()}}},
                     {"large", std::numeric_limits<uint64_t>::max()},
                     {"small", std::numeric_limits<int64_t>::min()}};
  const std::string text = json_text(json);
  CHECK(text ==
        "{\"z\":1,\"a\":[true,null,-2,1.5,\"x\\n\\\"\u00e4\"],\"m\":{\"empty\":{},\"none\":[]},"
        "\"large\":18446744073709551615,\"small\":-9223372036854775808}");
  CHECK(parse_json(text) == json);
  CHECK(json_text(parse_json(text)) == text);
  CHECK(json_text({{"a", {1, 2}}}, 2) == "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
  std::ostringstream out;
  out << json;
  CHECK(out.str() == text);
}

TEST_CASE("doubles are read as they were written, and become null if they are not finite") {
  for (const double x : {0.1, -1e-300, 1.7976931348623157e308, 5e-324, 1.0 / 3, 1e22, -0.0}) {
    CHECK(parse_json(json_text(Json(x))).get<double>() == x);
  }
  CHECK(json_text(Json(1.0)) == "1.0");
  CHECK(json_text(Json(std::nan(""))) == "null");
  CHECK(json_text(Json(-INFINITY)) == "null");
  CHECK(json_text(Json(0.1f)) == json_text(Json(static_cast<double>(0.1f))));
}

TEST_CASE("braces make an object of pairs that begin with a string, and an array of anything else") {
  CHECK(Json({{"a", 1}, {"b", 2}}).is_object());
  CHECK(Json({{"a", 1}, {2, "b"}}).is_array());
  CHECK(Json({"a", 1}).is_array());
  CHECK(Json({{"a", {"b"}}}).at("a").is_array());
  CHECK(json_text({{"a", 1}, {"b", 2}, {"a", 3}}) == R"({"a":3,"b":2})");
}

TEST_CASE("containers become arrays and objects, and are read from them") {
  const std::vector<std::vector<int64_t>> lists = {{1, 2}, {}, {3}};
  CHECK(json_text(Json(lists)) == "[[1,2],[],[3]]");
  CHECK(Json(lists).get<std::vector<std::vector<int64_t>>>() == lists);
  CHECK(json_text(Json(std::vector<bool>{true, false})) == "[true,false]");
  CHECK(json_text(Json(std::map<std::string, double>{{"b", 2}, {"a", 1}})) == R"({"a":1.0,"b":2.0})");
  CHECK(Json({1, 2.5, 3}).get<std::array<double, 3>>() == std::array<double, 3>{1, 2.5, 3});
  CHECK_THROWS_WITH((Json({1, 2}).get<std::array<double, 3>>()), "expected 3 elements, found 2");
  CHECK_THROWS_WITH(Json({1, "2"}).get<std::vector<int>>(), "expected an integer, found a string");
  CHECK(Json(std::vector<int>{}).is_array());
}

TEST_CASE("a number that the wanted type cannot hold is refused") {
  CHECK(Json(255).get<uint8_t>() == 255);
  CHECK_THROWS_WITH(Json(256).get<uint8_t>(), "expected an integer from 0 to 255, found 256");
  CHECK_THROWS_WITH(Json(-1).get<size_t>(), Catch::Contains("expected an integer from 0 to"));
  CHECK_THROWS_WITH(Json(int64_t{1} << 31).get<int32_t>(),
                    "expected an integer from -2147483648 to 2147483647, found 2147483648");
  CHECK_THROWS_AS(Json(uint64_t{1} << 63).get<int64_t>(), JsonError);
  CHECK(Json(uint64_t{1} << 63).get<uint64_t>() == uint64_t{1} << 63);
  CHECK(Json(3.0).get<int>() == 3);
  CHECK_THROWS_WITH(Json(3.5).get<int>(), Catch::Contains("found 3.5"));
  CHECK_THROWS_AS(Json(1e19).get<int64_t>(), JsonError);
  CHECK_THROWS_AS(Json(std::nan("")).get<int64_t>(), JsonError);
  CHECK_THROWS_WITH(Json(1).get<bool>(), "expected a boolean, found an integer");
  CHECK_THROWS_WITH(Json("1").get<double>(), "expected a number, found a string");
  CHECK_THROWS_WITH(Json().get<std::string>(), "expected a string, found null");
  CHECK(Json(2).get<double>() == 2);
  CHECK(Json(uint64_t{1} << 63).get<float>() == 0x1p63f);
}

TEST_CASE("members are found, added, replaced and erased") {
  Json json;
  CHECK(json.find("a") == nullptr);
  CHECK(json.items().empty());
  json["a"] = 1;
  json["b"].push_back("x");
  json["b"].push_back(2);
  CHECK(json_text(json) == R"({"a":1,"b":["x",2]})");
  CHECK(json.at("b")[1] == 2);
  CHECK(json.at("b").back() == 2);
  CHECK(json.contains("a"));
  CHECK_FALSE(json.contains("c"));
  CHECK(json.value("a", 5) == 1);
  CHECK(json.value("c", 5) == 5);
  CHECK(json.value("c", "words") == "words");
  CHECK_THROWS_WITH(json.at("c"), "'c' is absent");
  CHECK_THROWS_WITH(std::as_const(json)["c"], "'c' is absent");
  CHECK_THROWS_WITH(json.at("b").at(2), "element 2 is absent: the array has 2");
  CHECK_THROWS_WITH(Json::array().back(), "the array is empty");
  CHECK_THROWS_WITH(json.at("a").at("x"), "expected an object, found an integer");
  CHECK_THROWS_WITH(json.at("b")["x"], "expected an object, found an array");
  CHECK_THROWS_WITH(json.push_back(1), "expected an array, found an object");
  CHECK_THROWS_AS(Json(3).value("a", 1), JsonError);
  CHECK_THROWS_AS(json.begin(), JsonError);
  json.update({{"a", 7}, {"d", 8}});
  CHECK(json_text(json) == R"({"a":7,"b":["x",2],"d":8})");
  CHECK(json.erase("b"));
  CHECK_FALSE(json.erase("b"));
  CHECK(json_text(json) == R"({"a":7,"d":8})");
}

TEST_CASE("an object of many members finds each of them, also after one was erased") {
  Json json;
  for (int i = 0; i < 100'000; ++i) json[std::to_string(i)] = i;
  const Json copy = parse_json(json_text(json));
  CHECK(copy == json);
  bool all = true;
  for (int i = 0; i < 100'000; ++i) all &= copy.at(std::to_string(i)) == i;
  CHECK(all);
  CHECK(json.erase("500"));
  CHECK_FALSE(json.contains("500"));
  CHECK(json.at("501") == 501);
  CHECK(json.items()[500].key == "501");
  CHECK(json.size() == 99'999);
  Json few;
  for (int i = 0; i < 20; ++i) few[std::to_string(i)] = i;
  for (int i = 0; i < 20; i += 2) few.erase(std::to_string(i));
  CHECK(few.size() == 10);
  CHECK(few.at("19") == 19);
  CHECK_FALSE(few.contains("18"));
}

TEST_CASE("objects are equal whatever the order of their members, and numbers whatever their type") {
  CHECK(parse_json(R"({"a": 1, "b": [2]})") == parse_json(R"({"b": [2], "a": 1.0})"));
  CHECK_FALSE(parse_json(R"({"a": 1})") == parse_json(R"({"b": 1})"));
  CHECK_FALSE(parse_json(R"({"a": 1})") == parse_json(R"({"a": 1, "b": 1})"));
  CHECK_FALSE(Json({1, 2}) == Json({2, 1}));
  CHECK(Json(1) == 1.0);
  CHECK(Json("x") == "x");
  CHECK(Json() == nullptr);
  CHECK_FALSE(Json(0) == Json(false));
  CHECK_FALSE(Json(uint64_t{1} << 63) == Json(std::numeric_limits<int64_t>::min()));
}

TEST_CASE("a copy is independent, and a moved value becomes null") {
  Json original = {{"a", {1, 2}}};
  Json copy = original;
  copy["a"].push_back(3);
  CHECK(original.at("a").size() == 2);
  copy = copy.at("a");  // a part of itself
  CHECK(json_text(copy) == "[1,2,3]");
  const Json moved = std::move(original);
  CHECK(moved.at("a").size() == 2);
  CHECK(original.is_null());
}

TEST_CASE("text that is not JSON is refused with its place, and too deep text before it fills the stack") {
  CHECK_THROWS_WITH(parse_json("{\"a\": 1,\n \"b\" 2}"), Catch::Contains("parse error at line 2, column 6"));
  for (const char* text : {"", "{", "[1,]", "{\"a\"}", "1 2", "nul", "\"\xff\"", "[1e999]", "\"\\ud800\"", "'a'"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_json(text), JsonError);
    CHECK(parse_json_or_null(text).is_null());
  }
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  CHECK(parse_json(nested(500)).is_array());
  CHECK_THROWS_WITH(parse_json(nested(501)), "more than 500 levels");
  CHECK_THROWS_AS(parse_json(std::string(1'000'000, '[')), JsonError);
  CHECK(parse_json(R"({"a": 1, "a": 2})").at("a") == 2);
}

TEST_CASE(
    "a string that is not UTF-8 keeps its bytes in files that are read again, and is replaced where it is shown") {
  const std::string bytes("a\xff\x00z", 4);
  const Json json = {{"list", {bytes, "plain"}}};
  CHECK(json_text(json) == R"({"list":[{"base64":"Yf8Aeg=="},"plain"]})");
  CHECK(parse_json(json_text(json)).at("list").get<std::vector<std::string>>() ==
        std::vector<std::string>{bytes, "plain"});
  CHECK(json_text_replacing(json) == "{\"list\":[\"a\uFFFD\\u0000z\",\"plain\"]}");
  CHECK(json_text({{"k\xff", 1}}) == "{\"k\uFFFD\":1}");
  CHECK_THROWS_WITH(parse_json(R"({"base64": "!"})").get<std::string>(), Catch::Contains("invalid base64"));
  CHECK_THROWS_AS(parse_json(R"({"base64": "Yf8A", "x": 1})").get<std::string>(), JsonError);
}
