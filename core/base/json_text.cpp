#include "core/base/json_text.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "core/base/base64.h"
#include "core/base/text.h"

namespace moe {

namespace {

using Library = nlohmann::ordered_json;

// What nlohmann's library says, without its name and number of the error.
std::string words_of(const nlohmann::detail::exception& error) {
  const std::string text = error.what();
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

// Builds a value while nlohmann's parser reads the text.
class Builder : public nlohmann::json_sax<Library> {
 public:
  Json result() { return std::move(result_); }

  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return put(value); }
  bool number_unsigned(uint64_t value) override { return put(value); }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(Library::binary_t&) override { return false; }  // only in formats other than text
  bool start_array(size_t) override { return open(Json::array()); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool end_array() override { return close(); }
  bool end_object() override { return close(); }
  bool key(std::string& name) override {
    member_ = &(*open_.back())[name];
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw JsonError(words_of(error));
  }

 private:
  static constexpr size_t kMostLevels = 500;  // copying and destroying a value are recursive

  Json* add(Json value) {
    if (open_.empty()) {
      result_ = std::move(value);
      return &result_;
    }
    if (open_.back()->is_object()) {
      *member_ = std::move(value);
      return member_;
    }
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  bool put(Json value) {
    add(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMostLevels) throw JsonError(fmt::format("more than {} levels", kMostLevels));
    open_.push_back(add(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json result_;
  std::vector<Json*> open_;  // the arrays and objects around the place that is read, from the outermost
  Json* member_ = nullptr;   // where the next value of the innermost one belongs if that is an object
};

// With `bytes` a string that is not UTF-8 becomes an object of its bytes.
Library to_library(const Json& json, bool bytes) {
  switch (json.type()) {
    case Json::Type::null:
      return nullptr;
    case Json::Type::boolean:
      return json.get<bool>();
    case Json::Type::integer:
      return json.get<int64_t>();
    case Json::Type::large_integer:
      return json.get<uint64_t>();
    case Json::Type::real:
      return json.get<double>();
    case Json::Type::string: {
      std::string text = json.get<std::string>();
      if (bytes && !is_utf8(text)) return {{kJsonBytes, to_base64(text)}};
      return text;
    }
    case Json::Type::array:
      break;
    case Json::Type::object: {
      Library::object_t members;
      // The base's emplace_back does not search for the key, which is new.
      for (const auto& [key, value] : json.items()) members.emplace_back(key, to_library(value, bytes));
      return members;
    }
  }
  Library::array_t elements;
  for (const Json& element : json) elements.push_back(to_library(element, bytes));
  return elements;
}

}  // namespace

Json parse_json(std::string_view text) {
  Builder builder;
  Library::sax_parse(text.begin(), text.end(), &builder);
  return builder.result();
}

Json parse_json_or_null(std::string_view text) {
  try {
    return parse_json(text);
  } catch (const JsonError&) {
    return {};
  }
}

static std::string text_of(const Library& json, int indent) {
  return json.dump(indent, ' ', false, Library::error_handler_t::replace);
}

std::string json_text(const Json& json, int indent) {
  return text_of(to_library(json, true), indent);
}

std::string json_text_replacing(const Json& json, int indent) {
  return text_of(to_library(json, false), indent);
}

std::ostream& operator<<(std::ostream& out, const Json& json) {
  return out << json_text_replacing(json);
}

}  // namespace moe
