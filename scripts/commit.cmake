# The commit of a folder of sources, for --version:
#   moe_commit(FOLDER GIT VARIABLE)   GIT: the program git, or what is not one
#   cmake -DFOLDER=... -DGIT=... -P scripts/commit.cmake   prints it
# "unknown" where the folder is no clone. Without git, or where git refuses a folder of another user, the clone's own
# files say the commit, in seven digits.

# The first line of a file; empty if there is none.
function(moe_first_line FILE RESULT)
  set(line "")
  if(EXISTS ${FILE})
    file(STRINGS ${FILE} line LIMIT_COUNT 1)
  endif()
  set(${RESULT} "${line}" PARENT_SCOPE)
endfunction()

# The commit by the files of a clone, or of a worktree, whose .git is a file that names its folder.
function(moe_commit_by_files FOLDER RESULT)
  set(own ${FOLDER}/.git)
  if(EXISTS ${own} AND NOT IS_DIRECTORY ${own})
    moe_first_line(${own} link)
    string(REGEX REPLACE "^gitdir: " "" own "${link}")
    get_filename_component(own "${own}" ABSOLUTE BASE_DIR ${FOLDER})
  endif()
  # Branches are in the folder that the worktrees of a clone share.
  moe_first_line(${own}/commondir shared)
  get_filename_component(shared "${shared}" ABSOLUTE BASE_DIR ${own})
  moe_first_line(${own}/HEAD commit)
  if(commit MATCHES "^ref: (.*)$")
    set(branch ${CMAKE_MATCH_1})
    moe_first_line(${shared}/${branch} commit)
    if(commit STREQUAL "" AND EXISTS ${shared}/packed-refs)
      file(STRINGS ${shared}/packed-refs refs REGEX "^[0-9a-f]+ ${branch}$")
      string(REGEX MATCH "^[0-9a-f]+" commit "${refs}")
    endif()
  endif()
  string(SUBSTRING "${commit}" 0 7 commit)
  set(${RESULT} "${commit}" PARENT_SCOPE)
endfunction()

function(moe_commit FOLDER GIT VARIABLE)
  set(commit "")
  if(GIT)
    execute_process(COMMAND ${GIT} -C ${FOLDER} describe --always --dirty
                    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(commit STREQUAL "")
    moe_commit_by_files(${FOLDER} commit)
  endif()
  if(commit STREQUAL "")
    set(commit "unknown")
  endif()
  set(${VARIABLE} "${commit}" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  moe_commit(${FOLDER} "${GIT}" commit)
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo ${commit})
endif()
