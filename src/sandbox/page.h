/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sandbox/web.h"

/*
 * The sandbox's page for people: `/` and `/ui/...`, from src/sandbox/page. It asks the API beside it, and shows what strangers
 * wrote as text, or as HTML in a frame that may do nothing.
 */
bool sandbox_page_knows(struct sv path);
enum MHD_Result sandbox_page_serve(struct sandbox_web_request *r);
